"""What is done to Verilog in front of Verilator changes its size, not its meaning."""

from tickgate.sim.verilator import merge_registers, strip_zero_memories

MEMORY = """module m();
  reg [7:0] mem [3:0];
  initial begin
    mem[0] = 8'h00;
    mem[1] = 8'h00;
  end
  reg [7:0] other [3:0];
  initial begin
    other[0] = 8'h00;
    other[1] = 8'h07;
  end
endmodule
"""

REGISTERS = r"""module m(clk, a, b, q);
  reg [7:0] \$1 ;
  reg \$2 ;
  reg \$3 ;
  always @(posedge clk)
    q <= \$1 ;
  always @(posedge clk)
    \held$4  <= \$2 ;
  always @(posedge clk)
    seen <= \$3 ;
  assign peek = \$3 ;
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$1  = q;
    if (a) begin
      \$1 [3:0] = b;
    end
  end
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$2  = 1'h0;
    if (a) begin
      \$2  = \held$4 ;
    end
  end
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$3  = b;
  end
endmodule
"""


def test_strip_zero_memories_keeps_every_row_that_is_not_zero():
    text = strip_zero_memories(MEMORY)
    assert "mem[0]" not in text and "other[0]" not in text
    assert "    other[1] = 8'h07;\n" in text
    assert text.count("initial begin") == 1


def test_merge_registers_drops_the_hold_and_keeps_slices_and_conditions():
    merged = merge_registers(REGISTERS)
    assert "  always @(posedge clk) begin\n    if (a) begin\n      q[3:0] <= b;\n    end\n  end\n" in merged
    assert "q <= \\$1" not in merged


def test_merge_registers_keeps_a_default_that_is_not_the_register():
    merged = merge_registers(REGISTERS)
    assert "    \\held$4  <= 1'h0;\n    if (a) begin\n      \\held$4  <= \\held$4 ;\n" in merged


def test_merge_registers_leaves_a_next_value_that_is_used_elsewhere():
    merged = merge_registers(REGISTERS)
    assert "    seen <= \\$3 ;\n" in merged and "  assign peek = \\$3 ;\n" in merged and "    \\$3  = b;\n" in merged
