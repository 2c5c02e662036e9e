"""CUDA C kernels, compiled at run time (NVRTC, through CuPy) for the GPU at hand.

How a kernel is written here, so that one source serves every GPU from sm_75 up and the emulator of the tests:

- One .cu file a family, of the same name as the CPU's; `common.cuh` stands before each as text. A file may include
  another .cuh of this folder: its text is put in place of the line. No templates in entries: an entry is
  `extern "C" __global__ void name(outputs..., inputs..., ints...)`, its element type T and its constants come from -D.
- Arrays lie as on the CPU: activations [N, H, W, C], filters [OC, KH, KW, C/G]. Sizes are int, offsets into memory
  `index_t` (64 bits): a product of sizes is formed in index_t.
- A thread never leaves before a barrier that others reach; the condition of every barrier is the same in a block.
- Results do not depend on the order in which blocks and threads run: no atomics in results, sums in a fixed order.
- Instructions that C has no word for (asynchronous copies, matrix units, shuffles) are called through one function of
  common.cuh or mma.cuh each: there the emulator puts its own.
- Outputs are written whole. What lies beyond the end of an array is never read.

No GPU has timed these kernels yet: the ladders in their headers count instructions and registers of the machine code.
"""
