"""The DeltaProduct recurrence (arXiv:2502.10297), chunk by chunk for training and step by step for decoding.

With n_h = 1 it is DeltaNet's, with a gate besides Gated DeltaNet's: any layer that writes by the delta rule can use it.
"""

# b batch, t time, n Householder steps per token, h heads, k width of keys, v width of values
# In chunks: c chunks, m lanes = b * h, l rows = tokens of a chunk * n

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rk.transforms import is_transforming
from rk_deltaproduct.chunks import ChunkScan, scan_chunks


def delta_product(
    q: Float[Tensor, "b t h k"],
    k: Float[Tensor, "b t n h k"],
    v: Float[Tensor, "b t n h v"],
    beta: Float[Tensor, "b t n h"],
    g: Float[Tensor, "b t h"] | None = None,
    state: Float[Tensor, "b h k v"] | None = None,
    scale: float | None = None,
    chunk_size: int | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b h k v"]]:
    """Applies n delta-rule steps per token to a matrix-valued state, and reads it after the last of them.

    For token i, with S_{i,0} = exp(g_i) S_{i-1} (arXiv:2502.10297, Sec. 3; transposed, as in its code):

        S_{i,j} = (I - beta_ij k_ij k_ij^T) S_{i,j-1} + beta_ij k_ij v_ij^T,    S_i = S_{i,n},    o_i = scale S_i^T q_i

    Keys must have unit norm: then each factor has its eigenvalue 1 - beta in [-1, 1] for beta in [0, 2], and the state
    stays bounded. A token with beta = 0 and g = 0 leaves the state as it is.

    The chunkwise WY form (Yang et al., arXiv:2406.06484) does it in time and memory linear in t and n, with t /
    chunk_size steps in order. States are kept and added up in 32 bits at least, also under autocast.

    Args:
        q: Queries.
        k: Keys of unit norm, n per token.
        v: Values.
        beta: Step sizes: 0 keeps what is stored at a key, 1 replaces it, 2 reflects it.
        g: Logarithm of the decay, at most 0, once per token; None keeps everything.
        state: The state before the first token; None: zeros.
        scale: Of the outputs; None: k^-1/2.
        chunk_size: Tokens per chunk, a matter of speed alone; None: so many that a chunk has about as many rows as a
            key has numbers.

    Returns:
        The outputs, in `v`'s dtype, and the state after the last token.

    Examples:
        >>> q, k, v = torch.randn(1, 5, 2, 4), torch.randn(1, 5, 3, 2, 4), torch.randn(1, 5, 3, 2, 8)
        >>> k, beta = torch.nn.functional.normalize(k, dim=-1), torch.rand(1, 5, 3, 2)
        >>> outputs, state = delta_product(q, k, v, beta)
        >>> outputs.shape, state.shape
        (torch.Size([1, 5, 2, 8]), torch.Size([1, 2, 4, 8]))
    """
    b, t, n, h, width = k.shape
    dtype = torch.promote_types(v.dtype, torch.float32)
    scale = width**-0.5 if scale is None else scale
    with torch.autocast(v.device.type, enabled=False):
        state = v.new_zeros(b, h, width, v.shape[-1], dtype=dtype) if state is None else state.to(dtype)
        if t == 0:
            return v.new_zeros(b, 0, h, v.shape[-1]), state
        if torch.compiler.is_exporting():  # ONNX has no triangular solve; a graph of steps has one length
            decays = [None] * t if g is None else g.unbind(1)
            outputs = []
            for i, decay in enumerate(decays):
                output, state = delta_product_step(q[:, i], k[:, i], v[:, i], beta[:, i], decay, state, scale)
                outputs.append(output)
            return torch.stack(outputs, 1), state
        chunks = _divide(t, n, width, chunk_size)
        size = -(-t // chunks)
        queries, keys, values, rates = (
            _lanes(x.to(dtype), chunks, size) for x in (q, k, v, beta.unsqueeze(-1))
        )  # padding has beta = 0 and g = 0, which changes nothing
        queries = queries * scale
        keys_in, keys_out, values = keys * rates, keys, values * rates
        base = torch.eye(width, dtype=dtype, device=v.device).expand(chunks, b * h, width, width)
        seen = torch.ones(n * size, n * size, dtype=torch.bool, device=v.device).tril()
        common, scores = keys_in @ keys.mT, queries @ keys.mT
        if g is None:
            scores = scores * seen[n - 1 :: n]  # queries come after the last step of their token
        else:
            token_decay = _lanes(g.to(dtype).unsqueeze(-1), chunks, size).cumsum(-2)
            decay = token_decay.repeat_interleave(n, -2)  # a token decays before its first step
            between = (decay - decay.mT).masked_fill(~seen, -torch.inf).exp()
            common, scores = common * between, scores * between[..., n - 1 :: n, :]
            keys_in, queries = keys_in * decay.exp(), queries * token_decay.exp()
            end = token_decay[..., -1:, :]
            keys_out, base = keys_out * (end - decay).exp(), base * end.exp()
        scan = scan_chunks if is_transforming() else ChunkScan.apply
        out = scan(
            common,
            keys_in,
            values,
            torch.cat([keys_out.mT, scores], -2),
            torch.cat([base, queries], -2),
            state.flatten(0, 1),
        )
        states, outputs = out.split([width, size], -2)
        outputs = outputs.unflatten(1, (b, h)).permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :t]
    return outputs.to(v.dtype), states[-1].unflatten(0, (b, h))


def delta_product_step(
    q: Float[Tensor, "b h k"],
    k: Float[Tensor, "b n h k"],
    v: Float[Tensor, "b n h v"],
    beta: Float[Tensor, "b n h"],
    g: Float[Tensor, "b h"] | None,
    state: Float[Tensor, "b h k v"],
    scale: float | None = None,
) -> tuple[Float[Tensor, "b h v"], Float[Tensor, "b h k v"]]:
    """Does what `delta_product` does for one token, for decoding; `state` is not changed."""
    with torch.autocast(v.device.type, enabled=False):
        dtype = state.dtype
        q, k, values, beta = (x.to(dtype) for x in (q, k, v, beta))
        if g is not None:
            state = state * g.to(dtype).exp()[..., None, None]
        for key, value, rate in zip(k.unbind(1), values.unbind(1), beta.unsqueeze(-1).unbind(1), strict=True):
            error = value.unsqueeze(-2) - key.unsqueeze(-2) @ state
            state = state + (rate * key).unsqueeze(-1) * error
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        output = (scale * q.unsqueeze(-2) @ state).squeeze(-2)
    return output.to(v.dtype), state


def _divide(t: int, n: int, width: int, chunk_size: int | None) -> int:
    """Returns into how many chunks of equal size `t` tokens are divided.

    A chunk's work grows with its rows squared, the number of chunks falls: rows as many as a key's numbers balance it.
    """
    if chunk_size is None:
        chunk_size = max(1, min(max(width, 16), 64) // n)
    return -(-t // chunk_size)


def _lanes(x: Float[Tensor, "b t *n h d"], chunks: int, size: int) -> Float[Tensor, "c m l d"]:
    """Pads to whole chunks, and puts them first, then batch and heads, then the rows of a chunk."""
    b, t = x.shape[:2]
    if chunks * size > t:
        x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, chunks * size - t))
    x = x.reshape(b, chunks, -1, *x.shape[-2:])
    return x.permute(1, 0, 3, 2, 4).flatten(1, 2)
