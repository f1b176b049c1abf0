"""The clustering engines: (vectors, k, ...) to centroids and labels, on one level of a quantizer."""
