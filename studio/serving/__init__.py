"""The server of models: OpenAI's HTTP interface over one base model and the runs made of it, a process of its own"""
