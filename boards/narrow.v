// Sums of ten bits at most with a constant, and comparisons with one, in LUTs: nextpnr enters and
// leaves every carry chain through cells of its own, and what is chosen behind a sum fits in its
// LUTs.
(* techmap_celltype = "$alu" *)
module narrow_alu (A, B, CI, BI, X, Y, CO);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    parameter _TECHMAP_CONSTMSK_A_ = 0;
    parameter _TECHMAP_CONSTMSK_B_ = 0;

    (* force_downto *) input [A_WIDTH-1:0] A;
    (* force_downto *) input [B_WIDTH-1:0] B;
    input CI, BI;
    (* force_downto *) output [Y_WIDTH-1:0] X, Y, CO;

    // All bits of one operand are known; written as a number, since it must be a constant.
    wire _TECHMAP_FAIL_ =
        (((&_TECHMAP_CONSTMSK_A_) | (&_TECHMAP_CONSTMSK_B_)) & (Y_WIDTH <= 10)) == 0;

    (* force_downto *) wire [Y_WIDTH-1:0] left, right;
    \$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) a (.A(A), .Y(left));
    \$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) b (.A(B), .Y(right));
    (* force_downto *) wire [Y_WIDTH-1:0] addend = right ^ {Y_WIDTH{BI}};
    (* force_downto *) wire [Y_WIDTH-1:0] carry = {CO, CI};
    assign X = left ^ addend;
    assign Y = X ^ carry;
    assign CO = (left & addend) | (carry & (left | addend));
endmodule
