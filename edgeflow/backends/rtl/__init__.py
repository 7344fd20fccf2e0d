"""The RTL backend: Verilog and VHDL from adder graphs, simulated, synthesised by open tools."""
