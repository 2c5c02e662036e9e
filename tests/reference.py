"""What every operation means, in naive float64 loops: the witness that the tests compare with.

Imports NumPy only, so that no line is shared with what it checks. Shapes as everywhere: x (N, C, H, W),
w (OC, C/G, KH, KW), y (N, OC, OH, OW); padding is (top, bottom, left, right). Results are C-ordered float64.
"""

import numpy as np

NO_PADDING = (0, 0, 0, 0)


# Sizes ----------------------------------------------------------------------------------------------------------------


def window_starts(size, before, after, taps, stride=1, dilation=1, ceil_mode=False):
    """Where windows start on the padded axis: each that fits, and with ceil_mode also the one that sticks out; then the
    last one goes if it starts beyond the input and the padding before it (PyTorch's rule)."""
    padded = before + size + after
    extent = (taps - 1) * dilation + 1
    starts = [s for s in range(0, padded, stride) if s + extent <= padded]
    if ceil_mode:
        if starts[-1] + extent < padded:
            starts.append(starts[-1] + stride)
        if starts[-1] >= before + size:
            starts.pop()
    return starts


def output_size(size, before, after, taps, stride=1, dilation=1, ceil_mode=False):
    return len(window_starts(size, before, after, taps, stride, dilation, ceil_mode))


def same_padding(size, taps, stride=1, dilation=1):
    """(before, after) so that ceil(size / stride) windows fit: the odd zero goes after (TensorFlow's SAME)."""
    total = 0
    while output_size(size, total // 2, total - total // 2, taps, stride, dilation) * stride < size:
        total += 1
    return total // 2, total - total // 2


def _starts(x, kernel, stride, padding, dilation, ceil_mode=False):
    top, bottom, left, right = padding
    rows = window_starts(x.shape[2], top, bottom, kernel[0], stride[0], dilation[0], ceil_mode)
    columns = window_starts(x.shape[3], left, right, kernel[1], stride[1], dilation[1], ceil_mode)
    return rows, columns


# Convolution ----------------------------------------------------------------------------------------------------------


def _pad(x, padding):
    top, bottom, left, right = padding
    return np.pad(np.asarray(x, np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))


def _unpad(xp, padding):
    top, bottom, left, right = padding
    return xp[:, :, top : xp.shape[2] - bottom, left : xp.shape[3] - right].copy()


def _window(row, column, kernel, dilation):
    rows = slice(row, row + (kernel[0] - 1) * dilation[0] + 1, dilation[0])
    columns = slice(column, column + (kernel[1] - 1) * dilation[1] + 1, dilation[1])
    return rows, columns


def conv2d(x, w, b=None, stride=(1, 1), padding=NO_PADDING, dilation=(1, 1), groups=1):
    """y[n, k, oh, ow] = b[k] + sum of the window at (oh, ow) times filter k; the filter is not flipped."""
    xp, w = _pad(x, padding), np.asarray(w, np.float64)
    OC, CG, kernel = w.shape[0], w.shape[1], w.shape[2:]
    rows, columns = _starts(x, kernel, stride, padding, dilation)
    y = np.zeros((x.shape[0], OC, len(rows), len(columns)))
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            window_rows, window_columns = _window(row, column, kernel, dilation)
            for k in range(OC):
                first = k // (OC // groups) * CG
                window = xp[:, first : first + CG, window_rows, window_columns]
                y[:, k, oh, ow] = (window * w[k]).sum(axis=(1, 2, 3))
    return y if b is None else y + np.asarray(b, np.float64)[:, None, None]


def conv2d_backward(dy, x, w, stride=(1, 1), padding=NO_PADDING, dilation=(1, 1), groups=1):
    """dx, dw, db: the loops of conv2d with each product's two factors receiving their share."""
    xp, w, dy = _pad(x, padding), np.asarray(w, np.float64), np.asarray(dy, np.float64)
    OC, CG, kernel = w.shape[0], w.shape[1], w.shape[2:]
    rows, columns = _starts(x, kernel, stride, padding, dilation)
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            window_rows, window_columns = _window(row, column, kernel, dilation)
            for k in range(OC):
                first = k // (OC // groups) * CG
                share = dy[:, k, oh, ow][:, None, None, None]
                dxp[:, first : first + CG, window_rows, window_columns] += share * w[k]
                dw[k] += (share * xp[:, first : first + CG, window_rows, window_columns]).sum(axis=0)
    return _unpad(dxp, padding), dw, dy.sum(axis=(0, 2, 3))


def im2col(x, kernel, stride=(1, 1), padding=NO_PADDING, dilation=(1, 1)):
    """(N*OH*OW, C*KH*KW): rows in the order n, oh, ow and columns in the order c, kh, kw."""
    xp = _pad(x, padding)
    rows, columns = _starts(x, kernel, stride, padding, dilation)
    windows = []
    for image in xp:
        for row in rows:
            for column in columns:
                window_rows, window_columns = _window(row, column, kernel, dilation)
                windows.append(image[:, window_rows, window_columns].ravel())
    return np.array(windows)


def col2im(cols, x_shape, kernel, stride=(1, 1), padding=NO_PADDING, dilation=(1, 1)):
    """The adjoint of im2col: every column added to the pixel that it was taken from."""
    xp = _pad(np.zeros(x_shape), padding)
    rows, columns = _starts(np.zeros(x_shape), kernel, stride, padding, dilation)
    remaining = iter(np.asarray(cols, np.float64))
    for image in xp:
        for row in rows:
            for column in columns:
                window_rows, window_columns = _window(row, column, kernel, dilation)
                image[:, window_rows, window_columns] += next(remaining).reshape(x_shape[1], *kernel)
    return _unpad(xp, padding)


# Pooling --------------------------------------------------------------------------------------------------------------


def _taps_inside(row, column, kernel, dilation, before, size):
    """(position kh * KW + kw, h, w) of the taps of the window at (row, column) that lie inside the input."""
    for kh in range(kernel[0]):
        for kw in range(kernel[1]):
            h = row + kh * dilation[0] - before[0]
            w = column + kw * dilation[1] - before[1]
            if 0 <= h < size[0] and 0 <= w < size[1]:
                yield kh * kernel[1] + kw, h, w


def max_pool2d(x, kernel, stride, padding=NO_PADDING, dilation=(1, 1), ceil_mode=False):
    """y, and argmax as a position kh * KW + kw in the window: the first maximum wins, a NaN wins over all."""
    x = np.asarray(x, np.float64)
    rows, columns = _starts(x, kernel, stride, padding, dilation, ceil_mode)
    y = np.full((*x.shape[:2], len(rows), len(columns)), -np.inf)
    argmax = np.full(y.shape, -1)
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            best, position = y[:, :, oh, ow], argmax[:, :, oh, ow]
            for tap, h, w in _taps_inside(row, column, kernel, dilation, padding[::2], x.shape[2:]):
                value = x[:, :, h, w]
                wins = (position < 0) | (value > best) | (np.isnan(value) & ~np.isnan(best))
                best[wins], position[wins] = value[wins], tap
    return y, argmax


def max_pool2d_backward(dy, argmax, x_shape, kernel, stride, padding=NO_PADDING, dilation=(1, 1)):
    """dx: each dy added where its maximum stood."""
    dx = np.zeros(x_shape)
    for (n, c, oh, ow), position in np.ndenumerate(argmax):
        h = oh * stride[0] - padding[0] + int(position) // kernel[1] * dilation[0]
        w = ow * stride[1] - padding[2] + int(position) % kernel[1] * dilation[1]
        dx[n, c, h, w] += dy[n, c, oh, ow]
    return dx


def _divisor(row, column, kernel, dilation, padding, size, count_include_pad):
    """Taps of the window at (row, column) inside the padded input, or only those inside the input."""
    if count_include_pad:
        size = (size[0] + padding[0] + padding[1], size[1] + padding[2] + padding[3])
        return len(list(_taps_inside(row, column, kernel, dilation, (0, 0), size)))
    return len(list(_taps_inside(row, column, kernel, dilation, padding[::2], size)))


def avg_pool2d(
    x, kernel, stride, padding=NO_PADDING, dilation=(1, 1), ceil_mode=False, count_include_pad=True
):  # fmt: skip
    x = np.asarray(x, np.float64)
    rows, columns = _starts(x, kernel, stride, padding, dilation, ceil_mode)
    y = np.zeros((*x.shape[:2], len(rows), len(columns)))
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            for _, h, w in _taps_inside(row, column, kernel, dilation, padding[::2], x.shape[2:]):
                y[:, :, oh, ow] += x[:, :, h, w]
            y[:, :, oh, ow] /= _divisor(row, column, kernel, dilation, padding, x.shape[2:], count_include_pad)
    return y


def avg_pool2d_backward(
    dy, x_shape, kernel, stride, padding=NO_PADDING, dilation=(1, 1), ceil_mode=False, count_include_pad=True
):  # fmt: skip
    dx = np.zeros(x_shape)
    rows, columns = _starts(dx, kernel, stride, padding, dilation, ceil_mode)
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            divisor = _divisor(row, column, kernel, dilation, padding, x_shape[2:], count_include_pad)
            for _, h, w in _taps_inside(row, column, kernel, dilation, padding[::2], x_shape[2:]):
                dx[:, :, h, w] += np.asarray(dy, np.float64)[:, :, oh, ow] / divisor
    return dx


def k_max(x, k, axis):
    """The k largest along an axis, in their order, and where they stand: the first of equal values, NaN before all."""
    rows = np.moveaxis(np.asarray(x, np.float64), axis, -1)
    places = np.zeros((*rows.shape[:-1], k), int)
    for at in np.ndindex(rows.shape[:-1]):
        row = rows[at]
        by_size = sorted(range(len(row)), key=lambda i, row=row: (not np.isnan(row[i]), -row[i], i))
        places[at] = sorted(by_size[:k])
    return np.moveaxis(np.take_along_axis(rows, places, -1), -1, axis), np.moveaxis(places, -1, axis)


def k_max_backward(dy, places, size, axis):
    rows, at = np.moveaxis(np.asarray(dy, np.float64), axis, -1), np.moveaxis(places, axis, -1)
    dx = np.zeros((*rows.shape[:-1], size))
    np.put_along_axis(dx, at, rows, -1)
    return np.moveaxis(dx, -1, axis)


# Linear ---------------------------------------------------------------------------------------------------------------


def matmul(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    c = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            c[i, j] = (a[i] * b[:, j]).sum()
    return c


def linear(x, w, b=None):
    """y = x w^T + b with x (N, IN), w (OUT, IN), b (OUT,)."""
    y = matmul(x, w.T)
    return y if b is None else y + np.asarray(b, np.float64)


def linear_backward(dy, x, w):
    """dx, dw, db."""
    return matmul(dy, w), matmul(dy.T, x), np.asarray(dy, np.float64).sum(axis=0)


# Pointwise ------------------------------------------------------------------------------------------------------------


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def activation(kind, x, slope=0.01):
    """NaN stays NaN."""
    x = np.asarray(x, np.float64)
    match kind:
        case None:
            return x
        case "relu":
            return np.where(x < 0, 0.0, x)
        case "leaky_relu":
            return np.where(x < 0, slope * x, x)
        case "sigmoid":
            return _sigmoid(x)
        case "tanh":
            return np.tanh(x)
    raise ValueError(kind)


def activation_backward(kind, dy, x, slope=0.01):
    """dx from dy and the activation's input; at 0 relu passes nothing and leaky_relu passes all."""
    dy, x = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    match kind:
        case "relu":
            return np.where(x <= 0, 0.0, dy)
        case "leaky_relu":
            return np.where(x < 0, slope * dy, dy)
        case "sigmoid":
            return dy * _sigmoid(x) * (1 - _sigmoid(x))
        case "tanh":
            return dy * (1 - np.tanh(x) ** 2)
    raise ValueError(kind)


def dropout(x, p, seed):
    """Elements drawn in the order of memory (channels-last where there are four axes) by splitmix64 in counter mode
    (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"); kept ones grow by 1 / (1 - p)."""
    flat = np.asarray(x, np.float64)
    flat = flat.transpose(0, 2, 3, 1) if flat.ndim == 4 else flat
    kept = np.array([_uniform(seed, i) >= p for i in range(flat.size)]).reshape(flat.shape)
    y = np.where(kept, flat / (1 - p), 0.0)
    return y.transpose(0, 3, 1, 2).copy() if y.ndim == 4 else y


def _uniform(seed, i):
    """The i-th draw, from 0 to below 1, with 24 bits."""
    bits = 2**64
    z = (seed + (i + 1) * 0x9E3779B97F4A7C15) % bits
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % bits
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % bits
    z = z ^ (z >> 31)
    return (z >> 40) / 2**24


# Batch normalisation --------------------------------------------------------------------------------------------------


def _by_channel(a):
    """The elements of each channel of (N, C) or (N, C, H, W), as one row."""
    return np.moveaxis(np.asarray(a, np.float64), 1, 0).reshape(a.shape[1], -1)


def _from_channels(rows, shape):
    return np.moveaxis(np.reshape(rows, (shape[1], shape[0], *shape[2:])), 0, 1).copy()


def batch_norm_statistics(x):
    """mean, var (over M), and var over M - 1."""
    rows = _by_channel(x)
    mean = np.array([row.sum() / row.size for row in rows])
    squares = np.array([((row - m) ** 2).sum() for row, m in zip(rows, mean, strict=True)])
    return mean, squares / rows.shape[1], squares / (rows.shape[1] - 1)


def batch_norm(x, mean, var, gamma, beta, eps):
    """gamma and beta are numbers or arrays (C,)."""
    C = x.shape[1]
    gamma, beta = np.broadcast_to(gamma, C), np.broadcast_to(beta, C)
    rows = [
        gamma[c] * (row - float(mean[c])) / np.sqrt(float(var[c]) + eps) + beta[c]
        for c, row in enumerate(_by_channel(x))
    ]
    return _from_channels(rows, x.shape)


def batch_norm_backward(dy, x, gamma, eps):
    """dx, dgamma, dbeta where mean and variance are those of x: by the paper's chain of derivatives, step by step."""
    gamma, dx, dgamma, dbeta = np.broadcast_to(gamma, x.shape[1]), [], [], []
    for c, (d, row) in enumerate(zip(_by_channel(dy), _by_channel(x), strict=True)):
        m, centred = row.size, row - row.mean()
        std = np.sqrt((centred**2).mean() + eps)
        dxhat = d * gamma[c]
        dvar = (dxhat * centred).sum() * -0.5 / std**3
        dmean = -dxhat.sum() / std - 2 * dvar * centred.mean()
        dx.append(dxhat / std + dvar * 2 * centred / m + dmean / m)
        dgamma.append((d * centred / std).sum())
        dbeta.append(d.sum())
    return _from_channels(dx, x.shape), np.array(dgamma), np.array(dbeta)


# Local response normalisation ---------------------------------------------------------------------------------------


def _channels_around(c, C, size):
    """The window of channel c as PyTorch has it: size // 2 channels before, (size - 1) // 2 behind."""
    return [j for j in range(c - size // 2, c - size // 2 + size) if 0 <= j < C]


def local_denominators(x, size, alpha, k):
    d = np.full(x.shape, float(k))
    for c in range(x.shape[1]):
        for j in _channels_around(c, x.shape[1], size):
            d[:, c] += alpha / size * x[:, j] ** 2
    return d


def local_response_norm(x, size, alpha, beta, k):
    x = np.asarray(x, np.float64)
    return x * local_denominators(x, size, alpha, k) ** -beta


def local_response_norm_backward(dy, x, size, alpha, beta, k):
    """y[c] depends on x[c] itself, and through d[c] on each x[j] of its window."""
    dy, x = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    d = local_denominators(x, size, alpha, k)
    dx = dy * d**-beta
    for c in range(x.shape[1]):
        for j in _channels_around(c, x.shape[1], size):
            dx[:, j] += dy[:, c] * x[:, c] * -beta * d[:, c] ** (-beta - 1) * alpha / size * 2 * x[:, j]
    return dx


# Loss -----------------------------------------------------------------------------------------------------------------


def softmax(logits):
    logits = np.asarray(logits, np.float64)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_cross_entropy(logits, labels):
    """The mean of -log softmax(logits)[label], and the probabilities."""
    logits = np.asarray(logits, np.float64)
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        below_max = row - row.max()
        total += np.log(np.exp(below_max).sum()) - below_max[label]
    return total / len(labels), softmax(logits)


def softmax_cross_entropy_backward(prob, labels):
    d = np.array(prob, np.float64)
    for row, label in enumerate(labels):
        d[row, label] -= 1
    return d / len(labels)


# Update: each returns the new parameter and the new state ------------------------------------------------------------


def sgd_step(p, g, v=None, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """v is None where momentum is 0."""
    g = g + weight_decay * p
    if v is None:
        return p - lr * g, None
    v = momentum * v + g
    return p - lr * (g + momentum * v if nesterov else v), v


def adagrad_step(p, g, s, *, lr, eps, weight_decay=0.0):
    g = g + weight_decay * p
    s = s + g**2
    return p - lr * g / (np.sqrt(s) + eps), s


def rmsprop_step(p, g, m, *, lr, alpha, eps, weight_decay=0.0):
    g = g + weight_decay * p
    m = alpha * m + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(m) + eps), m


def adadelta_step(p, g, m, u, *, lr, rho, eps, weight_decay=0.0):
    g = g + weight_decay * p
    m = rho * m + (1 - rho) * g**2
    d = g * np.sqrt(u + eps) / np.sqrt(m + eps)
    u = rho * u + (1 - rho) * d**2
    return p - lr * d, m, u


def adam_step(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay=0.0, decoupled=False, step):
    if decoupled:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
