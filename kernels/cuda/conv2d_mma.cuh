// What the convolutions on the matrix units share: the windows of a map.
#include "activation.cuh"
#include "mma_tile.cuh"

// Where a window begins: offset of its first element, row and column.
struct Window {
    index_t at;
    int h, w;
};
#define NOWHERE (-(1 << 30))  // a row or column that no tap brings into a map
