"""Put user behaviour into the vectors before they are quantized: `methods.align` runs the method that is chosen."""
