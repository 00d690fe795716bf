// Models of the ECP5 cells for which Yosys has only black boxes, as its technology mapping uses them (FPGA-TN-02204,
// memory usage guide, and FPGA-TN-02205, sysDSP usage guide). A mode that is not modelled stops the simulation; a pin
// that is not is refused by Verilator. Neither reads 0 without a word.

// Block RAM of 18 kbit, both ports of one width. At 36 bits port A writes and port B reads, and their pins are joined.
// The register behind a port, where it is used, takes what the memory had read when the edge came, whenever its own
// enable is 1: that of the memory does not matter to it. It starts at 0.
module DP16KD (
    input
        DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
        DIA1, DIA0,
    input
        ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output
        DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
        DOA1, DOA0,
    input
        DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
        DIB1, DIB0,
    input
        ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
        DOB1, DOB0
);
    parameter integer DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB";
    parameter GSR = "DISABLED", INIT_DATA = "STATIC";
    parameter integer WID = 0;
    parameter [319:0] INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0;
    parameter [319:0] INITVAL_04 = 0, INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0;
    parameter [319:0] INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0;
    parameter [319:0] INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0;
    parameter [319:0] INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0;
    parameter [319:0] INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0;
    parameter [319:0] INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0;
    parameter [319:0] INITVAL_1C = 0, INITVAL_1D = 0, INITVAL_1E = 0, INITVAL_1F = 0;
    parameter [319:0] INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0;
    parameter [319:0] INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0;
    parameter [319:0] INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0;
    parameter [319:0] INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0;
    parameter [319:0] INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0;
    parameter [319:0] INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0, INITVAL_37 = 0;
    parameter [319:0] INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0;
    parameter [319:0] INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0;

    localparam integer WIDTH = DATA_WIDTH_A;
    localparam integer SHIFT = WIDTH == 36 ? 5 : WIDTH == 18 ? 4 : WIDTH == 9 ? 3 : WIDTH == 4 ? 2 : WIDTH == 2 ? 1 : 0;
    localparam integer DEPTH = 16384 >> SHIFT;
    localparam integer LANE = WIDTH < 9 ? WIDTH : 9;
    localparam HELD_A = REGMODE_A == "OUTREG", HELD_B = REGMODE_B == "OUTREG";
    localparam OLD_A = WRITEMODE_A == "READBEFOREWRITE", OLD_B = WRITEMODE_B == "READBEFOREWRITE";
    localparam [64*320-1:0] INITIAL = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38, INITVAL_37,
        INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E,
        INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25,
        INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C,
        INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13,
        INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A,
        INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
        INITVAL_00
    };

    task stop(input [40*8-1:0] what);
        begin
            $fdisplay(32'h8000_0002, "%m: there is no model of DP16KD with %0s", what);
            $stop;
        end
    endtask

    reg [WIDTH-1:0] mem[0:DEPTH-1];
    integer i;
    initial begin
        if (WIDTH != 1 && WIDTH != 2 && WIDTH != 4 && WIDTH != 9 && WIDTH != 18 && WIDTH != 36) stop("this width");
        if (DATA_WIDTH_B != WIDTH) stop("ports of two widths");
        if (!HELD_A && REGMODE_A != "NOREG" || !HELD_B && REGMODE_B != "NOREG") stop("this register mode");
        if (WIDTH == 36 && HELD_A != HELD_B) stop("a register behind half a word");
        if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000") stop("chip selects");
        if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB") stop("falling edges");
        if (!OLD_A && WRITEMODE_A != "NORMAL" || !OLD_B && WRITEMODE_B != "NORMAL") stop("this write mode");
        if (GSR != "DISABLED" && GSR != "AUTO") stop("the global reset");
        if (INIT_DATA != "STATIC" || WIDTH < 9 && INITIAL != 0) stop("this initial data");
        // Rows of 18 bits stand 20 apart.
        for (i = 0; i < DEPTH; i = i + 1)
            if (WIDTH == 36) mem[i] = {INITIAL[40*i+20 +: 18], INITIAL[40*i +: 18]};
            else if (WIDTH == 18) mem[i] = INITIAL[20*i +: 18];
            else if (WIDTH == 9) mem[i] = INITIAL[20*(i/2) + 9*(i%2) +: 9];
            else mem[i] = 0;
    end

    wire [35:0] in_a = {
        (WIDTH == 36) & DIB17, (WIDTH == 36) & DIB16, (WIDTH == 36) & DIB15, (WIDTH == 36) & DIB14, (WIDTH == 36) &
        DIB13, (WIDTH == 36) & DIB12, (WIDTH == 36) & DIB11, (WIDTH == 36) & DIB10, (WIDTH == 36) & DIB9, (WIDTH ==
        36) & DIB8, (WIDTH == 36) & DIB7, (WIDTH == 36) & DIB6, (WIDTH == 36) & DIB5, (WIDTH == 36) & DIB4, (WIDTH
        == 36) & DIB3, (WIDTH == 36) & DIB2, (WIDTH == 36) & DIB1, (WIDTH == 36) & DIB0, DIA17, DIA16, DIA15, DIA14,
        DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0
    };
    wire [35:0] in_b = {18'd0,
        DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
        DIB1, DIB0
    };
    wire [13:0] pins_a = {
        ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0
    };
    wire [13:0] pins_b = {
        ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0
    };
    wire [13:0] row_a = pins_a >> SHIFT, row_b = pins_b >> SHIFT;
    // Wide ports select bytes by the address pins that they have no use for.
    wire [3:0] lanes_a = WIDTH == 36 ? pins_a[3:0] : WIDTH == 18 ? {2'd0, pins_a[1:0]} : 4'd1;
    wire [3:0] lanes_b = WIDTH == 36 ? 4'd0 : WIDTH == 18 ? {2'd0, pins_b[1:0]} : 4'd1;
    wire on_a = CEA & {CSA2, CSA1, CSA0} == 3'd0, on_b = CEB & {CSB2, CSB1, CSB0} == 3'd0;
    wire write_a = on_a & WEA & lanes_a != 0, write_b = on_b & WEB & lanes_b != 0;
    // A row that is read while the other port writes it may give what it held, what it is to hold, or neither: what
    // comes out is wrong on purpose, so that a design which relies on either is found.
    wire meet = row_a == row_b;

    reg [WIDTH-1:0] out_a = 0, out_b = 0, held_a = 0, held_b = 0;
    integer lane;
    always @(posedge CLKA) begin
        if (RSTA) stop("a reset in use");
        if (OCEA) held_a <= out_a;
        if (on_a & (OLD_A | ~WEA)) out_a <= mem[row_a] ^ {WIDTH{meet & write_b}};
        for (lane = 0; lane < 4; lane = lane + 1)
            if (write_a & lanes_a[lane] & lane * LANE < WIDTH) mem[row_a][lane*LANE +: LANE] <= in_a[lane*LANE +: LANE];
    end
    always @(posedge CLKB) begin
        if (RSTB) stop("a reset in use");
        if (WIDTH == 36 & HELD_B & OCEA != OCEB) stop("two enables of one word");
        if (OCEB) held_b <= out_b;
        if (on_b & (OLD_B | ~WEB)) out_b <= mem[row_b] ^ {WIDTH{meet & write_a}};
        for (lane = 0; lane < 4; lane = lane + 1)
            if (write_b & lanes_b[lane] & lane * LANE < WIDTH) mem[row_b][lane*LANE +: LANE] <= in_b[lane*LANE +: LANE];
    end

    wire [35:0] wide_a = HELD_A ? held_a : out_a, wide_b = HELD_B ? held_b : out_b;
    assign {
        DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
        DOA1, DOA0
    } = WIDTH == 36 ? wide_b[17:0] : wide_a[17:0];
    assign {
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
        DOB1, DOB0
    } = WIDTH == 36 ? wide_b[35:18] : wide_b[17:0];
endmodule

// Multiplier of 18 by 18 bits, each factor signed or not, with or without a register in front of each. A register takes its
// factor, and whether that is signed, when its enable is 1. It starts at 0.
module MULT18X18D (
    input
        A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input
        B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input
        C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    input CLK0, CE0, CE1, RST0,
    output
        P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
        P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
    parameter GSR = "DISABLED";

    localparam HELD_A = REG_INPUTA_CLK == "CLK0", HELD_B = REG_INPUTB_CLK == "CLK0";

    task stop(input [40*8-1:0] what);
        begin
            $fdisplay(32'h8000_0002, "%m: there is no model of MULT18X18D with %0s", what);
            $stop;
        end
    endtask

    initial begin
        if (!HELD_A && REG_INPUTA_CLK != "NONE" || !HELD_B && REG_INPUTB_CLK != "NONE") stop("this clock");
        if (REG_INPUTA_CE != "CE0" && REG_INPUTA_CE != "CE1") stop("this enable");
        if (REG_INPUTB_CE != "CE0" && REG_INPUTB_CE != "CE1") stop("this enable");
        if (REG_INPUTA_RST != "RST0" || REG_INPUTB_RST != "RST0") stop("this reset");
        if (GSR != "DISABLED") stop("the global reset");
    end

    wire signed [18:0] in_a = {SIGNEDA & A17,
        A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0
    };
    wire signed [18:0] in_b = {SIGNEDB & B17,
        B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0
    };
    wire take_a = REG_INPUTA_CE == "CE0" ? CE0 : CE1, take_b = REG_INPUTB_CE == "CE0" ? CE0 : CE1;
    reg signed [18:0] held_a = 0, held_b = 0;
    always @(posedge CLK0) begin
        if (RST0 & (HELD_A | HELD_B)) stop("a reset in use");
        if (take_a) held_a <= in_a;
        if (take_b) held_b <= in_b;
    end

    wire signed [18:0] a = HELD_A ? held_a : in_a, b = HELD_B ? held_b : in_b;
    wire signed [37:0] product = a * b;
    assign {
        P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
        P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
    } = product[35:0];

    always @(SOURCEA, SOURCEB) if (SOURCEA | SOURCEB) stop("a factor from its neighbour");
endmodule
