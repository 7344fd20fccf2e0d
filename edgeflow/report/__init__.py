"""Reports: JSON, a terminal table, one self-contained HTML file."""
