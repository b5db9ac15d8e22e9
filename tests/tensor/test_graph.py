"""Everything around the graph, as PyTorch answers it."""

from __future__ import annotations

from tests.tensor.golden_graph import check

test_functions = check("function")
test_graph = check("graph")
test_inference_mode = check("inference")
test_functional = check("functional")
test_functions_of_functions = check("transforms")
test_checkpoint = check("checkpoint")
test_gradcheck = check("gradcheck")
