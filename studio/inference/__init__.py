"""One inference engine: a base model and its adapters answering together over HTTP (the torch stack; no storage)."""
