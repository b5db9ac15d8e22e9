"""Which operations autocast casts, by their PyTorch names: those of its own lists (2.13)."""

from __future__ import annotations

LOWER = "lower"  # in the half precision of the context
WIDE = "float32"
OWN = "own"  # in the dtype that it has without autocast
SAME = "same"  # in float32, rounded to the first tensor's dtype

_words = str.split

_PRODUCTS = _words("""
    addbmm addmm baddbmm bmm chain_matmul conv1d conv2d conv3d conv_tbc conv_transpose1d
    conv_transpose2d conv_transpose3d convolution einsum linalg_multi_dot linalg_vecdot linear lstm
    matmul mm prelu rnn_relu rnn_tanh scaled_dot_product_attention
""")

_LOSSES = _words("""
    binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy hinge_embedding_loss
    huber_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss
    multilabel_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss
    triplet_margin_loss
""")

_WIDE_ON_CPU = _words("""
    adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cdist cholesky
    cholesky_inverse cholesky_solve ctc_loss fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2
    fft_ifftn fft_ihfft fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn grid_sample
    inverse linalg_cholesky linalg_cond linalg_eigh linalg_eigvalsh linalg_inv linalg_lstsq
    linalg_matrix_rank linalg_qr linalg_solve linalg_svd linalg_svdvals lu_solve max_pool3d
    max_unpool2d max_unpool3d nanquantile ormqr pinverse polar prod quantile stft trace
    view_as_complex
""")

_WIDE_ON_CUDA = _words("""
    acos asin cdist cosh cosine_similarity cumprod cumsum dist erfinv exp expm1
    group_norm layer_norm log log10 log1p log2 log_softmax logsumexp norm pdist pow prod
    reciprocal renorm rms_norm rsqrt sinh softmax softmin softplus sum tan
""")

RULES: dict[str, dict[str, str]] = {
    "cpu": dict.fromkeys(_PRODUCTS, LOWER)
    | dict.fromkeys(_LOSSES + _WIDE_ON_CPU, WIDE)
    | dict.fromkeys(_words("addmv addr bilinear"), OWN)
    | dict.fromkeys(_words("batch_norm group_norm instance_norm layer_norm rms_norm"), SAME),
    "cuda": dict.fromkeys([*_PRODUCTS, *_words("addmv addr gru gru_cell lstm_cell mv")], LOWER)
    | dict.fromkeys(_LOSSES + _WIDE_ON_CUDA, WIDE)
    | dict.fromkeys(_words("batch_norm instance_norm"), SAME),
}
