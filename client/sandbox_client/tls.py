"""The TLS context, and the errors for certificates and handshakes that fail."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import truststore

from .errors import ConfigError, TLSError

if TYPE_CHECKING:
    from .config import Config

# Codes of OpenSSL for a certificate with another host name, and outside its validity period.
_WRONG_HOST = {62, 64}
_WRONG_TIME = {9, 10}


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


def certificate_error(cause: ssl.SSLCertVerificationError, where: str) -> TLSError:
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


def tls_error(cause: ssl.SSLError, where: str) -> TLSError:
    """Return the error for a TLS handshake that failed."""
    return TLSError(
        f"TLS with {where} failed: {cause.reason or 'no reason given'}",
        advice="Check the scheme (http or https) and the port in proxyUrl.",
    )
