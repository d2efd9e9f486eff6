"""The TLS context, and the errors for a connection that cannot be made."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, cast

import truststore

from .errors import ConfigError, NotSent, TLSError
from .forward_proxies import describe_unused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .config import Config

_START_PROXY = "Start the proxy (`make fake` starts the fake one), or correct proxyUrl."
_ASK_WHETHER_IT_RUNS = (
    "Check the host and the port in proxyUrl; if they are right, ask the proxy's administrator"
    " whether it runs."
)
# Codes of OpenSSL for a certificate with another host name, and outside its validity period.
_WRONG_HOST = {62, 64}
_WRONG_TIME = {9, 10}
_WRONG_SCHEME = "the scheme (http or https) or the port in proxyUrl."
# Reasons of OpenSSL for a reply that is not TLS, such as that of an http server.
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}


def trust(config: Config) -> ssl.SSLContext:
    """Return a TLS context with the certificates of this machine and of `config`.

    Raises:
        ConfigError: the certificates of `config` cannot be read.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # On some systems OpenSSL also reads SSL_CERT_FILE, and ignores one that it cannot read.
    if config.certificates and config.proxy_url.lower().startswith("https:"):
        try:
            context.load_verify_locations(cafile=config.certificates)
        except OSError as exc:
            is_readable = isinstance(exc, ssl.SSLError)
            reason = "it holds none in PEM form" if is_readable else exc.strerror
            raise ConfigError(
                f"SSL_CERT_FILE names {config.certificates!r}, whose certificates cannot be read:"
                f" {reason}",
                advice="Name a file of certificates in PEM form, or unset SSL_CERT_FILE.",
            ) from None
    return context


def connection_error(exc: BaseException, where: str, config: Config) -> NotSent:
    """Return the error for a connection that could not be made, by the causes of `exc`."""
    return name_proxies(_describe(exc, where, config), config)


def _describe(exc: BaseException, where: str, config: Config) -> NotSent:
    for cause in _causes(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_error(cause, where)
        if isinstance(cause, ssl.SSLError):
            return _tls_error(cause, where)
        if isinstance(cause, socket.gaierror):
            return NotSent(
                f"Unknown host: {where} has no address",
                advice="Check the host's name in proxyUrl, and the network.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return NotSent(
                f"Connection refused: nothing listens at {where}",
                advice=_START_PROXY if config.is_local else _ASK_WHETHER_IT_RUNS,
            )
    return NotSent(f"{where} cannot be reached")


def name_proxies(error: NotSent, config: Config) -> NotSent:
    """Return an error about an unreachable host with the variables of forward proxies, if any."""
    unused = describe_unused(config.unused_proxies)
    if not unused or isinstance(error, TLSError):
        return error
    return error.but(advice=f"{error.advice} {unused}")


def _certificate_error(cause: ssl.SSLCertVerificationError, where: str) -> TLSError:
    """Return the error for a certificate that was rejected."""
    if cause.verify_code in _WRONG_HOST:
        return TLSError(
            f"The certificate of {where} is another host's: {cause.verify_message}",
            advice="Put the host's name that the certificate holds into proxyUrl, or ask the"
            " proxy's administrator for a certificate that holds this one.",
        )
    if cause.verify_code in _WRONG_TIME:
        return TLSError(
            f"The certificate of {where} is not valid today: {cause.verify_message}",
            advice="Ask the proxy's administrator to renew it, and check this machine's clock.",
        )
    return TLSError(
        f"The certificate of {where} is not trusted: {cause.verify_message}",
        advice="Check the host in proxyUrl; name a private authority's certificates in"
        " SSL_CERT_FILE.",
    )


def _tls_error(cause: ssl.SSLError, where: str) -> TLSError:
    """Return the error for a TLS handshake that failed."""
    if cause.reason in _NO_TLS:
        return TLSError(
            f"{where} does not speak TLS, which https needs: it may be an http address",
            advice="Write http:// in proxyUrl if the proxy has no https, or else the port of its"
            " https address.",
        ).but(cause=_WRONG_SCHEME)
    reason = (cause.reason or "no reason given").replace("_", " ").lower()
    return TLSError(
        f"TLS with {where} failed: {reason}",
        advice="Check the scheme (http or https) and the port in proxyUrl.",
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Yield `exc`, its causes and contexts, and the members of exception groups."""
    pending: list[BaseException] = [exc]
    seen: set[int] = set()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [link for link in (current.__cause__, current.__context__) if link]
        if isinstance(current, BaseExceptionGroup):
            pending += cast("tuple[BaseException, ...]", current.exceptions)
