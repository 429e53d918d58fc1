"""gr.HTML parts: what the stock widgets do not have. All text from users or models is escaped here."""
