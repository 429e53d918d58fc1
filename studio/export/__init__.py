"""The export process: a run as adapter, merged model or GGUF with its card, held against the studio's own answers."""
