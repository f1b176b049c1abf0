"""Quantisers: a fit is a function, a fitted quantiser is a value. `methods` names them all."""
