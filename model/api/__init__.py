"""image.generate: one request for one picture, sent to DashScope or served from a local model.

`request` is the schema, `wire` the HTTP bodies, `dashscope` the client, `server` the server. Client and server speak the
same protocol, so the client with a `base_url` works against the server.
"""
