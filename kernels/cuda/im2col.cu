// Windows of an image as rows of a matrix, and back: the lectures' convolution, kept to be read and compared.
//
//     cols[(n, oh, ow), (c, kh, kw)] = x[n, oh*SH - PH + kh*DH, ow*SW - PW + kw*DW, c], zero in the padding
//
// x [N, H, W, C], cols [N*OH*OW, C*KH*KW]. Threads with one y share a row of windows (im2col) or a pixel, which gathers
// its columns in the order of kh, kw (col2im); those with neighbouring x write neighbours.

#define SIZES \
    int N, int C, int H, int W, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW, int OH, int OW

extern "C" __global__ void im2col(T *cols, const T *__restrict__ x, SIZES) {
    const int row = blockIdx.x * blockDim.y + threadIdx.y, columns = C * KH * KW;
    if (row >= N * OH * OW) return;
    const int n = row / OW / OH, top = row / OW % OH * SH - PH, left = row % OW * SW - PW;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        const int c = i / (KH * KW), h = top + i / KW % KH * DH, w = left + i % KW * DW;
        const bool inside = (unsigned)h < (unsigned)H && (unsigned)w < (unsigned)W;
        cols[(index_t)row * columns + i] = inside ? x[((index_t)(n * H + h) * W + w) * C + c] : (T)0;
    }
}

extern "C" __global__ void col2im(T *x, const T *__restrict__ cols, SIZES) {
    const int pixel = blockIdx.x * blockDim.y + threadIdx.y, columns = C * KH * KW;
    if (pixel >= N * H * W) return;
    const int n = pixel / W / H, ih = pixel / W % H, iw = pixel % W;
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        T sum = 0;
        for (int kh = 0; kh < KH; kh++) {
            const int h = ih + PH - kh * DH, oh = h / SH;
            if (h < 0 || h % SH || oh >= OH) continue;
            for (int kw = 0; kw < KW; kw++) {
                const int w = iw + PW - kw * DW, ow = w / SW;
                if (w < 0 || w % SW || ow >= OW) continue;
                sum += cols[((index_t)(n * OH + oh) * OW + ow) * columns + (c * KH + kh) * KW + kw];
            }
        }
        x[(index_t)pixel * C + c] = sum;
    }
}
