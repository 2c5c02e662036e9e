// The geometry of a convolution as the kernels take it: after the arrays, in this order.
#define SIZES                                                                                                        \
    int N, int C, int H, int W, int OC, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW, int G, int OH, \
        int OW
