"""Other people's networks, held to onnxruntime: which ones `sonotrace compile` takes, and what they cost.

Weights are random, so that nothing is downloaded.
"""
