# The fake proxy in a container, for the tests of other programs:
#
#   docker build -t sandbox-fakeproxy .
#   docker run --rm -p 127.0.0.1:8080:8080 -e ADMIN_API_KEY=... sandbox-fakeproxy
#
# Commands of sandboxes run in this container. For a jail of their own inside it, add
# `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, as bubblewrap needs
# namespaces; `docker run ... sandbox-fakeproxy check` says whether that works. As process 1, the fake
# reaps what its sandboxes leave, and stops on `docker stop`.
FROM python:3.13-slim

RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 fake

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY client client
COPY fakeproxy fakeproxy
COPY contract contract
RUN pip install --no-cache-dir '.[fakeproxy]'

USER fake
EXPOSE 8080
ENTRYPOINT ["sandbox-fakeproxy"]
CMD ["serve", "--host", "0.0.0.0", "--allow-remote", "--ephemeral"]
