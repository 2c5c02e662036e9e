"""The loops: arrays, pointers and whole numbers in, nothing else; nothing of fastconv is imported here.

A kernel is `name(outputs..., inputs..., ints...)`; the CPU's and the GPU's kernel of one operation share name and
argument order. Activations are contiguous [N, H, W, C], filters [OC, KH, KW, C/G]. The caller has checked every size.
Letters: N C H W OC KH KW SH SW PH PW DH DW G OH OW; gradients dx dw db dy.
"""
