"""Multiply two random matrices with NumPy, and print how long that took.

usage: matrix_product.py [SIZE] [SEED]
"""

import sys
import time

import numpy as np

size = int(sys.argv[1]) if len(sys.argv) > 1 else 512
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
random = np.random.default_rng(seed)
left, right = random.random((size, size)), random.random((size, size))

begin = time.perf_counter()
product = np.dot(left, right)
seconds = time.perf_counter() - begin

row, column = size // 2, size // 3
expected = sum(float(a) * float(b) for a, b in zip(left[row], right[:, column], strict=True))
print(f"numpy.dot: {seconds} sec")
same = "equal" if np.isclose(product[row, column], expected) else "NOT equal"
print(f"one entry of {size} x {size}, computed again: {same}")
