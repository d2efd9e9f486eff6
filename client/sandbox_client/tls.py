"""What this machine trusts, and what it means when that is not the proxy."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import truststore

from .errors import ConfigError, TLSError

if TYPE_CHECKING:
    from .config import Config

# OpenSSL's codes for a certificate that is sound, but not for this host, or not at this time.
_OTHER_NAME = {62, 64}
_OTHER_TIME = {9, 10}


def trust(config: Config) -> ssl.SSLContext:
    """Return what TLS trusts: the machine's certificates, and those that `config` names.

    Raises:
        ConfigError: the latter cannot be read.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # OpenSSL reads the variable too, on some systems, and is silent where it cannot.
    if config.certificates and config.proxy_url.lower().startswith("https:"):
        try:
            context.load_verify_locations(cafile=config.certificates)
        except OSError as exc:
            is_read = isinstance(exc, ssl.SSLError)
            reason = "it holds none in PEM form" if is_read else exc.strerror
            raise ConfigError(
                f"SSL_CERT_FILE names {config.certificates!r}, whose certificates cannot be read:"
                f" {reason}",
                advice="Name a file of certificates in PEM form, or unset SSL_CERT_FILE.",
            ) from None
    return context


def distrusted(cause: ssl.SSLCertVerificationError, where: str) -> TLSError:
    """Return what a certificate that was refused means to a person."""
    if cause.verify_code in _OTHER_NAME:
        return TLSError(
            f"The certificate of {where} is another host's: {cause.verify_message}",
            advice="Put the host's name that the certificate holds into proxyUrl, or ask the"
            " proxy's administrator for a certificate that holds this one.",
        )
    if cause.verify_code in _OTHER_TIME:
        return TLSError(
            f"The certificate of {where} is not valid today: {cause.verify_message}",
            advice="Ask the proxy's administrator to renew it, and check this machine's clock.",
        )
    return TLSError(
        f"The certificate of {where} is not trusted: {cause.verify_message}",
        advice="Check the host in proxyUrl; name a private authority's certificates in"
        " SSL_CERT_FILE.",
    )


def broken(cause: ssl.SSLError, where: str) -> TLSError:
    """Return what a failure to speak TLS means to a person."""
    return TLSError(
        f"TLS with {where} failed: {cause.reason or 'no reason given'}",
        advice="Check the scheme (http or https) and the port in proxyUrl.",
    )
