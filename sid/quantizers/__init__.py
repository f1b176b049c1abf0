"""Quantizers: a fit is a function, a fitted quantizer is a value. `methods` names them all."""
