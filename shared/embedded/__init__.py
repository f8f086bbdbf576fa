"""PostgreSQL, Redis and Envoy for a machine that has none, and the stack that `laurel up` runs.

The servers are the real ones, from wheels. They listen on Unix sockets in folders of mode 0700
or on the loopback address, run as children of the process that started them, and keep their data
in the folder that they are given.
"""
