// What an ECP5 has, in little: logic, carries, memories of both kinds, a multiplier, two clocks, pin registers.
module top(input clk, input reset_pin, input [15:0] d, output reg [15:0] q,
           input slow, clear, ddr_in, output ddr_out, inout io);
  wire late, even, odd, back, made, locked;
  DELAYG #(.DEL_MODE("USER_DEFINED"), .DEL_VALUE(7)) delay(.A(ddr_in), .Z(late));
  IDDRX1F in_pin(.D(late), .SCLK(clk), .RST(1'b0), .Q0(even), .Q1(odd));
  ODDRX1F out_pin(.D0(even ^ q[0]), .D1(odd), .SCLK(clk), .RST(1'b0), .Q(ddr_out));
  BB both(.I(q[1]), .T(q[2] & locked), .O(back), .B(io));
  EHXPLLL #(.CLKI_DIV(1), .CLKFB_DIV(1), .CLKOP_DIV(12), .CLKOP_ENABLE("ENABLED"), .FEEDBK_PATH("CLKOP"))
    pll(.CLKI(slow), .CLKFB(made), .CLKOP(made), .LOCK(locked), .RST(1'b0), .STDBY(1'b0));
  reg [7:0] turns; always @(posedge made) turns <= turns + 1;
  reg [7:0] cleared; always @(posedge clk, posedge clear) if (clear) cleared <= 0; else cleared <= cleared ^ a[7:0];
  reg reset; reg [15:0] a, b, sum, found; reg [3:0] at; reg [9:0] row;
  (* ram_style = "distributed" *) reg [15:0] few[0:15];
  (* ram_style = "block" *) reg [15:0] many[0:1023];
  reg [31:0] product; reg chosen; reg [15:0] read;
  always @(posedge clk) begin
    reset <= reset_pin; a <= d; read <= many[row]; many[at] <= sum;
    if (reset) begin at <= 0; b <= 0; sum <= 0; row <= 0; end
    else begin at <= at + 1; if (a[0]) b <= a ^ read; sum <= sum + a + few[b[3:0]]; row <= row + sum[9:0]; end
    if (a[1]) few[at] <= a;
    product <= a * b; chosen <= sum[at] ^ a[at] ^ b[at];
    q <= product[31:16] ^ product[15:0] ^ {16{chosen ^ back}} ^ sum ^ {cleared, turns};
  end
endmodule
