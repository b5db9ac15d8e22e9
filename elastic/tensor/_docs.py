"""What each op means: the sentences that become docstrings of functions and methods.

Unless one says otherwise the result has the shape of the inputs, broadcast against each other, and
the dtype that they promote to.
"""

MEANINGS = """
abs: The distance of each element from zero; real also for complex elements.
acos: The angle in [0, pi] whose cosine each element is; nan outside [-1, 1].
acosh: The inverse hyperbolic cosine of each element; nan below 1.
addcdiv: x + value * y / z.
addcmul: x + value * y * z.
all: Whether all elements over `dim` (an int, several, or all) are not zero; bool.
amax: The largest element over `dim` (an int, several, or all); equal ones share the gradient.
amin: The smallest element over `dim` (an int, several, or all); equal ones share the gradient.
angle: The angle of each element in the complex plane, in radians; 0 or pi for real elements.
any: Whether any element over `dim` (an int, several, or all) is not zero; bool.
argmax: The index of the largest element along `dim`, or in the flattened input; int64.
argmin: The index of the smallest element along `dim`, or in the flattened input; int64.
asin: The angle in [-pi/2, pi/2] whose sine each element is; nan outside [-1, 1].
asinh: The inverse hyperbolic sine of each element.
atan: The angle in (-pi/2, pi/2) whose tangent each element is.
atan2: The angle of the point (y, x) of the plane, where the first input is the ordinate, in (-pi, pi].
atanh: The inverse hyperbolic tangent of each element; nan outside [-1, 1].
bincount: How often each number 0, 1, 2, ... occurs among non-negative integers; at least `minlength` counts.
bitwise_and: The bits that both integers (or bools) have.
bitwise_left_shift: Each integer times 2 to the power of the other.
bitwise_not: The integer (or bool) with all bits turned.
bitwise_or: The bits that either integer (or bool) has.
bitwise_right_shift: Each integer divided by 2 to the power of the other, rounded down.
bitwise_xor: The bits that just one of two integers (or bools) has.
bmm: The matrix product of each pair of a batch. Shapes: (b, n, m) and (b, m, p) give (b, n, p).
ceil: The smallest integer that is not below each element.
clone: A copy, through which gradients flow.
complex: The complex numbers of two inputs, the real and the imaginary parts.
conj: The complex conjugate of each element; a copy.
conj_physical: The complex conjugate of each element; a copy.
constant_pad_nd: The input with `pad` elements of `value` added (or, if negative, removed) at both ends of its last dimensions, last dimension first.
convolution: The convolution (or its transpose) of a batch, in as many dimensions as the weight has: what conv1d to conv3d and conv_transpose1d to 3d call.
copysign: The size of each element with the sign of the other.
cos: The cosine of each element, in radians.
cosh: The hyperbolic cosine of each element.
count_nonzero: How many elements over `dim` are not zero; int64.
deg2rad: Each angle in degrees as radians.
diagonal: A view of the diagonal `offset` of the planes of `dim1` and `dim2`, as the last dimension.
digamma: The derivative of the logarithm of the gamma function at each element.
dot: The sum of products of two vectors of equal length.
eq: Whether elements are equal; bool.
erf: The error function of each element.
erfc: 1 - erf of each element, without cancellation.
erfinv: The number whose error function each element is; infinite at -1 and 1.
exp: e to the power of each element.
exp2: 2 to the power of each element.
expand: A view repeated along dimensions of size 1 to `size`; -1 keeps a size.
expm1: exp(x) - 1 of each element, exact near zero.
fill: A tensor of the input's shape and dtype, full of `value`.
flatten: The dimensions `start_dim` to `end_dim` joined into one; a view where possible.
flip: A copy in reverse order along `dims`.
floor: The largest integer that is not above each element.
floor_divide: The quotient rounded down.
fmax: The larger of two elements, or the one that is not nan.
fmin: The smaller of two elements, or the one that is not nan.
fmod: The remainder of a division rounded towards zero: it has the sign of the dividend.
frac: The part of each element behind the point, with its sign.
gather: The elements of the input at `index` along `dim`. Shape: that of `index`.
gcd: The greatest common divisor of two integers.
ge: Whether an element is at least the other; bool.
gt: Whether an element is greater than the other; bool.
heaviside: 0 for negative elements, 1 for positive ones, and the other input's element for zeros.
hypot: The length of the hypotenuse over two elements, without overflow.
i0: The modified Bessel function of the first kind and order 0 at each element.
igamma: The regularised lower incomplete gamma function of two elements, a and x.
igammac: The regularised upper incomplete gamma function of two elements, a and x.
imag: A view of the imaginary parts.
index_select: The slices of the input at the vector `index` along `dim`.
isfinite: Whether an element is neither infinite nor nan; bool.
isinf: Whether an element is infinite; bool.
isnan: Whether an element is nan; bool.
isneginf: Whether an element is minus infinity; bool.
isposinf: Whether an element is plus infinity; bool.
isreal: Whether an element has no imaginary part; bool.
lcm: The least common multiple of two integers.
le: Whether an element is at most the other; bool.
lerp: x + weight * (y - x): the point between two elements.
lgamma: The logarithm of the absolute value of the gamma function at each element.
linalg_cholesky_ex: The lower (or upper) Cholesky factor of each matrix, and where it is not positive-definite the order of the minor that is not, else 0.
linalg_cross: The cross products of vectors of size 3 along `dim`.
linalg_eig: The eigenvalues and eigenvectors of square matrices; complex.
linalg_inv_ex: The inverse of each matrix, and where there is none a number that is not 0.
linalg_ldl_factor_ex: The compact LDL factorisation of symmetric (or Hermitian) matrices: factors, pivots, and a number that is not 0 where it failed.
linalg_ldl_solve: The solution of A X = B from the compact LDL factorisation of A.
linalg_lu_factor_ex: The compact LU factorisation with partial pivoting: factors, pivots, and a number that is not 0 where a pivot is zero.
linalg_matrix_exp: The exponential of each square matrix.
linalg_pinv: The pseudo-inverse; singular values below the larger of `atol` and `rtol` times the largest are taken for zero.
linalg_qr: The QR factorisation: "reduced", "complete", or "r" alone.
linalg_solve_triangular: The solution of A X = B (or X A = B) for triangular A.
log: The natural logarithm of each element.
log10: The logarithm to base 10 of each element.
log1p: log(1 + x) of each element, exact near zero.
log2: The logarithm to base 2 of each element.
logaddexp: log(exp(x) + exp(y)), without overflow.
logaddexp2: The logarithm to base 2 of 2**x + 2**y, without overflow.
logcumsumexp: The logarithm of the running sum of exponentials along `dim`, without overflow.
logical_and: Whether both elements are not zero; bool.
logical_not: Whether an element is zero; bool.
logical_or: Whether either element is not zero; bool.
logical_xor: Whether just one of two elements is not zero; bool.
logit: log(x / (1 - x)) of each element, of `eps` to 1 - `eps` where an eps is given.
logsumexp: The logarithm of the sum of exponentials over `dim`, without overflow.
lt: Whether an element is less than the other; bool.
masked_fill: The input with `value` where the bool `mask` holds.
masked_select: The elements where the bool `mask` holds, as a vector.
matmul: The product of vectors, matrices, or batches of matrices that broadcast. Raises: RuntimeError when the inner sizes differ.
maximum: The larger of two elements; nan if either is.
minimum: The smaller of two elements; nan if either is.
mm: The product of two matrices. Shapes: (n, m) and (m, p) give (n, p).
movedim: A view with the dimensions `source` moved to `destination`.
mul: The product of elements.
mv: The product of a matrix and a vector. Shapes: (n, m) and (m) give (n).
nan_to_num: The input with `nan`, `posinf` and `neginf` in place of what is not finite.
narrow: A view of `length` slices from `start` along `dim`.
ne: Whether elements differ; bool.
neg: Each element with the other sign.
nextafter: The next number that the dtype can hold, from each element towards the other.
ones_like: Ones of the input's shape and dtype.
outer: The products of all pairs of two vectors. Shapes: (n) and (m) give (n, m).
permute: A view with its dimensions in the order `dims`.
polar: The complex number with the given distance from zero and the given angle in radians.
pow: Each element to the power of the other.
rad2deg: Each angle in radians as degrees.
real: A view of the real parts; the input itself where it is real.
reciprocal: 1 / x of each element.
relu: Each element, or 0 where it is negative.
remainder: The remainder of a division rounded down: it has the sign of the divisor.
repeat: Copies of the input laid side by side, `repeats` of them along each dimension.
reshape: The elements in another shape, a view where possible; -1 is worked out.
roll: The input moved by `shifts` along `dims`; what leaves at one end comes in at the other.
rsqrt: 1 / sqrt(x) of each element.
scatter_add: The input with the elements of `src` added at `index` along `dim`.
select: A view of the slice `index` along `dim`, which falls away.
sgn: The direction of each element: its sign, or for complex ones x / abs(x), or 0.
sigmoid: 1 / (1 + exp(-x)) of each element.
sign: -1, 0 or 1: the sign of each element.
signbit: Whether an element is negative, or minus zero; bool.
sin: The sine of each element, in radians.
sinc: sin(pi x) / (pi x) of each element, and 1 at 0.
sinh: The hyperbolic sine of each element.
special_airy_ai: The Airy function Ai at each element.
special_bessel_j0: The Bessel function of the first kind and order 0 at each element.
special_bessel_j1: The Bessel function of the first kind and order 1 at each element.
special_bessel_y0: The Bessel function of the second kind and order 0 at each element.
special_bessel_y1: The Bessel function of the second kind and order 1 at each element.
special_chebyshev_polynomial_t: The Chebyshev polynomial of the first kind and degree n at x.
special_chebyshev_polynomial_u: The Chebyshev polynomial of the second kind and degree n at x.
special_chebyshev_polynomial_v: The Chebyshev polynomial of the third kind and degree n at x.
special_chebyshev_polynomial_w: The Chebyshev polynomial of the fourth kind and degree n at x.
special_entr: -x log(x) of each element, 0 at 0, and minus infinity below.
special_erfcx: exp(x * x) * erfc(x) of each element, without overflow.
special_hermite_polynomial_h: The physicist's Hermite polynomial of degree n at x.
special_hermite_polynomial_he: The probabilist's Hermite polynomial of degree n at x.
special_i0e: exp(-abs(x)) * i0(x) of each element.
special_i1: The modified Bessel function of the first kind and order 1 at each element.
special_i1e: exp(-abs(x)) * i1(x) of each element.
special_laguerre_polynomial_l: The Laguerre polynomial of degree n at x.
special_legendre_polynomial_p: The Legendre polynomial of degree n at x.
special_log_ndtr: The logarithm of the area under the normal density left of each element.
special_modified_bessel_i0: The modified Bessel function of the first kind and order 0 at each element.
special_modified_bessel_i1: The modified Bessel function of the first kind and order 1 at each element.
special_modified_bessel_k0: The modified Bessel function of the second kind and order 0 at each element.
special_modified_bessel_k1: The modified Bessel function of the second kind and order 1 at each element.
special_ndtr: The area under the normal density left of each element.
special_ndtri: The number that has the area x of the normal density on its left.
special_scaled_modified_bessel_k0: exp(x) times the modified Bessel function of the second kind and order 0.
special_scaled_modified_bessel_k1: exp(x) times the modified Bessel function of the second kind and order 1.
special_shifted_chebyshev_polynomial_t: The Chebyshev polynomial of the first kind and degree n at 2 x - 1.
special_shifted_chebyshev_polynomial_u: The Chebyshev polynomial of the second kind and degree n at 2 x - 1.
special_shifted_chebyshev_polynomial_v: The Chebyshev polynomial of the third kind and degree n at 2 x - 1.
special_shifted_chebyshev_polynomial_w: The Chebyshev polynomial of the fourth kind and degree n at 2 x - 1.
special_spherical_bessel_j0: The spherical Bessel function of the first kind and order 0 at each element.
special_xlog1py: x log(1 + y), and 0 where x is 0.
special_zeta: The Hurwitz zeta function of x and q.
sqrt: The square root of each element; nan below 0.
square: The square of each element.
squeeze: A view without the dimensions of size 1, or without those of `dim`.
sum_to_size: The sum over what broadcasting from `size` repeated.
t: The transpose of a matrix, as a view; vectors stay what they are.
tan: The tangent of each element, in radians.
tanh: The hyperbolic tangent of each element.
transpose: A view with two dimensions exchanged.
tril: The lower triangles of matrices, with zeros above diagonal number `diagonal`.
triu: The upper triangles of matrices, with zeros below diagonal number `diagonal`.
trunc: Each element without what is behind the point.
unflatten: The dimension `dim` in the shape `size`; a view where possible.
unfold: A view of all windows of `size` elements, `step` apart, along a dimension; they become the last dimension.
unsqueeze: A view with a new dimension of size 1 at `dim`.
view: A view in another shape. Raises: RuntimeError when the strides do not allow one.
view_as_complex: A view of pairs of real numbers, the last dimension, as complex ones.
view_as_real: A view of complex numbers as pairs of real ones, a new last dimension.
xlogy: x log(y), and 0 where x is 0.
zeros_like: Zeros of the input's shape and dtype.
"""


def meanings() -> dict[str, str]:
    """The sentences by op."""
    return dict(line.split(": ", 1) for line in MEANINGS.strip().splitlines())
