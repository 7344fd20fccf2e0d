"""The hls4ml backend: FPGA projects for a vendor's HLS tool."""
