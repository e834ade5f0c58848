"""Images to arrays with fixed rules of colour and size, and results to what people asked for."""
