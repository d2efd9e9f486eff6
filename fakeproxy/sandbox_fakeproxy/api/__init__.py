"""The proxy's HTTP API: routes and handlers between ASGI and the service.

The routes are those of the wire contract. The API uses a runtime only through
`runtime.interface`, and knows the deployed proxy's deviations only as `behavior`.
"""
