"""Open synthesis: Verilog to a netlist, to a placed and routed design, to a bitstream."""
