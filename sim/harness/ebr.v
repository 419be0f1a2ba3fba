// The ECP5's block memory as synthesis uses it (FPGA-TN-02204): without output registers, chip
// selects always on, two ports of up to 18 bits or one that writes and one that reads 36. Yosys'
// library has its ports and parameters only, so this is ours; it stores rows of 18 bits as the
// initial values do. A read of what the other port writes gives the old row.
module DP16KD #(
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG",
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC",
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000",
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL",
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", GSR = "DISABLED", INIT_DATA = "STATIC", WID = 0,
@PARAMETERS@
) (
    input CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
    input CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2,
@PORTS@
);
    wire [17:0] dia = @DIA@;
    wire [17:0] dib = @DIB@;
    wire [13:0] ada = @ADA@;
    wire [13:0] adb = @ADB@;
    reg [35:0] doa = 0, dob = 0;
    reg [17:0] rows[0:1023];
    integer i;
    wire [20479:0] initial_rows = @INITIAL@;
    initial for (i = 0; i < 1024; i = i + 1) rows[i] = initial_rows[i*20 +: 18];

    // What a port of less than 18 bits finds and leaves within a row: nine bits a byte.
    wire [4:0] byte_a = ada[3] ? 5'd9 : 5'd0;
    wire [4:0] place_a = DATA_WIDTH_A == 1 ? byte_a + ada[2:0] : DATA_WIDTH_A == 2 ? byte_a + {ada[2:1], 1'b0} :
        DATA_WIDTH_A == 4 ? byte_a + {ada[2], 2'b0} : DATA_WIDTH_A == 9 ? byte_a : 5'd0;
    wire [17:0] mask_a = DATA_WIDTH_A >= 18 ? {{9{ada[1]}}, {9{ada[0]}}} :
        ((18'h1 << DATA_WIDTH_A) - 18'h1) << place_a;
    wire [17:0] old_a = rows[ada[13:4]];
    wire [17:0] new_a = ((dia << place_a) & mask_a) | (old_a & ~mask_a);
    wire [4:0] byte_b = adb[3] ? 5'd9 : 5'd0;
    wire [4:0] place_b = DATA_WIDTH_B == 1 ? byte_b + adb[2:0] : DATA_WIDTH_B == 2 ? byte_b + {adb[2:1], 1'b0} :
        DATA_WIDTH_B == 4 ? byte_b + {adb[2], 2'b0} : DATA_WIDTH_B == 9 ? byte_b : 5'd0;
    wire [17:0] mask_b = DATA_WIDTH_B >= 18 ? {{9{adb[1]}}, {9{adb[0]}}} :
        ((18'h1 << DATA_WIDTH_B) - 18'h1) << place_b;
    wire [17:0] old_b = rows[adb[13:4]];
    wire [17:0] new_b = ((dib << place_b) & mask_b) | (old_b & ~mask_b);
    wire [17:0] mask_high = {{9{ada[3]}}, {9{ada[2]}}};
    wire [17:0] low = rows[{ada[13:5], 1'b0}], high = rows[{ada[13:5], 1'b1}];

    generate if (DATA_WIDTH_A == 36) begin : wide
        // The write port's enables are its low address bits; both halves of the other's data
        // pins carry the rest.
        always @(posedge CLKA) if (CEA && WEA) begin
            rows[{ada[13:5], 1'b0}] <= (dia & mask_a) | (low & ~mask_a);
            rows[{ada[13:5], 1'b1}] <= (dib & mask_high) | (high & ~mask_high);
        end
        always @(posedge CLKB) if (CEB) begin
            if (RSTB) dob <= 0;
            else if (DATA_WIDTH_B == 36) dob <= {rows[{adb[13:5], 1'b1}], rows[{adb[13:5], 1'b0}]};
            else dob <= {old_b >> place_b, 18'h0};
        end
        assign @DOA@ = dob[17:0];
        assign @DOB@ = dob[35:18];
    end else begin : narrow
        always @(posedge CLKA) if (CEA) begin
            if (WEA) rows[ada[13:4]] <= new_a;
            if (RSTA) doa <= 0;
            else if (!WEA || WRITEMODE_A == "READBEFOREWRITE") doa <= old_a >> place_a;
            else if (WRITEMODE_A == "WRITETHROUGH") doa <= new_a >> place_a;
        end
        always @(posedge CLKB) if (CEB) begin
            if (WEB) rows[adb[13:4]] <= new_b;
            if (RSTB) dob <= 0;
            else if (!WEB || WRITEMODE_B == "READBEFOREWRITE") dob <= old_b >> place_b;
            else if (WRITEMODE_B == "WRITETHROUGH") dob <= new_b >> place_b;
        end
        assign @DOA@ = doa[17:0];
        assign @DOB@ = dob[17:0];
    end endgenerate
endmodule
