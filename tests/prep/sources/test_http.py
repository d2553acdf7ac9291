"""How the server is asked: with whose credentials, over what, and how long it is asked again."""

import base64
import datetime
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from urllib3.util import Timeout

from prep.datasets.description import Archive
from prep.errors import CredentialsError, SourceError
from prep.sources import http
from prep.sources.credentials import Credentials
from prep.sources.http import HttpSource
from prep.sources.source import Version
from rehearsal.servers.archive import Fault
from tests.prep.sites import WHO, Faults, site


def archive(url: str) -> Archive:
    return Archive("a.tar", url, "0" * 32, None)


def test_urls() -> None:
    one = archive("https://example.org/data/2012/some%20name.tar?x=1")
    assert HttpSource(None, None).url(one) == one.url
    assert HttpSource(None, "http://127.0.0.1:1/base/").url(one) == "http://127.0.0.1:1/base/some%20name.tar"


@pytest.mark.parametrize(
    "url", ["http://example.invalid/a.tar", "http://10.0.0.1/a.tar", "http://127.0.0.1.example.invalid/a"]
)
def test_credentials_only_over_tls(url: str) -> None:
    """Refused before any connection: a name that can't be looked up would be another error."""
    with pytest.raises(CredentialsError, match="credentials are sent over https only"):
        HttpSource(WHO, None).version(archive(url))


class Elsewhere(BaseHTTPRequestHandler):
    """Records who asks, and answers as an archive of one byte."""

    authorizations: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.authorizations.append(self.headers.get("Authorization"))
        self.send_response(206)
        self.send_header("Content-Range", "bytes 0-0/1")
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"x")

    def log_message(self, *_: object) -> None:
        pass


class Redirect(Elsewhere):
    """Sends everyone elsewhere."""

    target = ""
    authorizations: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.authorizations.append(self.headers.get("Authorization"))
        self.send_response(302)
        self.send_header("Location", self.target)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on a free port of this machine only."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.0)


def basic(who: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{who.username}:{who.access_key}".encode()).decode()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_credentials_stay_behind_on_a_redirect(host: str) -> None:
    """Another name, or another port of the same: another host."""
    Elsewhere.authorizations.clear()
    Redirect.authorizations.clear()
    with serving(Elsewhere) as elsewhere, serving(Redirect) as port:
        Redirect.target = f"http://{host}:{elsewhere}/a.tar"
        version = HttpSource(WHO, f"http://127.0.0.1:{port}").version(
            archive("https://example.invalid/a.tar")
        )
    assert version == Version(1, "")
    assert Redirect.authorizations == [basic(WHO)]
    assert Elsewhere.authorizations == [None]


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://localhost/a.tar", "http://[x/a.tar", "https://\x1b[2J:x/a.tar"]
)
def test_redirected_to_no_web_server(target: str) -> None:
    Redirect.target = target
    with serving(Redirect) as port, pytest.raises(SourceError, match=f"^http://127.0.0.1:{port}/a.tar: "):
        HttpSource(WHO, f"http://127.0.0.1:{port}").version(archive("https://example.invalid/a.tar"))


def test_signature_in_a_url_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a signed URL is let in."""
    monkeypatch.setattr(http, "TRIES", 1)
    with pytest.raises(SourceError, match=r"^http://127.0.0.1:9/a.tar: ") as refused:
        HttpSource(None, None).version(archive("http://127.0.0.1:9/a.tar?X-Amz-Signature=hush"))
    with pytest.raises(CredentialsError, match=r"^http://example.invalid/a.tar: ") as unsent:
        HttpSource(WHO, None).version(archive("http://example.invalid/a.tar?X-Amz-Signature=hush"))
    assert "hush" not in str(refused.value) + str(unsent.value)


class Odd(Elsewhere):
    """Answers with headers that are none."""

    headers_sent: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        self.send_response(206 if "Content-Range" in self.headers_sent else 200)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.mark.parametrize(
    "sent",
    [
        {"Content-Range": f"bytes 0-0/{'9' * 19}"},
        {"Content-Range": "bytes 0-0/-1"},
        {"Content-Length": "\xb2"},
        {"Content-Length": "9" * 19},
        {},
    ],
)
def test_sizes_that_are_none(sent: dict[str, str]) -> None:
    """Or that no file can have."""
    Odd.headers_sent = sent
    with serving(Odd) as port, pytest.raises(SourceError, match="serves neither ranges nor a length"):
        HttpSource(None, f"http://127.0.0.1:{port}").version(archive("https://example.invalid/a.tar"))


def test_any_etag(tmp_path: Path) -> None:
    """It becomes part of a line of JSON."""
    with site(tmp_path, 100, lambda _: Fault(etag='W/"\x1b[2J\\ é"')) as here:
        here.fetch()
        assert here.path.read_bytes() == here.content


def test_credentials_in_any_alphabet() -> None:
    who = Credentials("größe", "鍵")
    Elsewhere.authorizations.clear()
    with serving(Elsewhere) as port:
        HttpSource(who, f"http://127.0.0.1:{port}").version(archive("https://example.invalid/a.tar"))
    assert Elsewhere.authorizations == [basic(who)]


def test_redirected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TRIES", 2)
    with serving(Redirect) as port:
        Redirect.target = f"http://127.0.0.1:{port}/a.tar"
        with pytest.raises(SourceError, match="redirects"):
            HttpSource(WHO, f"http://127.0.0.1:{port}").version(archive("https://example.invalid/a.tar"))


def untrusted(folder: Path) -> ssl.SSLContext:
    """A certificate that nobody has vouched for, as image-net.org's has been at times."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_untrusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said at once, not after five minutes; and nobody has learnt the password."""
    monkeypatch.setattr(http, "LONGEST_PAUSE", 30.0)
    Elsewhere.authorizations.clear()
    begun = time.monotonic()
    with (
        serving(Elsewhere, untrusted(tmp_path)) as port,
        pytest.raises(SourceError, match="certificate can't be trusted") as caught,
    ):
        HttpSource(WHO, f"https://localhost:{port}").version(archive("https://example.invalid/a.tar"))
    assert time.monotonic() - begun < 10
    assert "\n" not in str(caught.value)
    assert Elsewhere.authorizations == []


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TRIES", 3)
    with pytest.raises(SourceError, match=r"http://127.0.0.1:9/a.tar: .*refused.*, 3 times") as caught:
        HttpSource(WHO, "http://127.0.0.1:9").version(archive("https://example.invalid/a.tar"))
    assert "hush" not in str(caught.value)


def test_retry_after_is_heeded(tmp_path: Path) -> None:
    """The server's wish, not our pause, which is nothing here."""
    with site(tmp_path, 100, Faults(Fault(status=429, retry_after=1))) as here:
        begun = time.monotonic()
        here.fetch()
        assert time.monotonic() - begun >= 1.0
        assert here.path.read_bytes() == here.content


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        *(("0", 0, 0), ("120", 120, 120), ("-5", None, None), ("", None, None), ("soon", None, None)),
        *(("\xb2", None, None), (f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", None, None)),
    ],
)
def test_retry_after(value: str, least: float | None, most: float | None) -> None:
    seconds = http._retry_after(value)
    assert (
        seconds is None if least is None or most is None else seconds is not None and least <= seconds <= most
    )


def test_retry_after_as_a_date() -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    seconds = http._retry_after(format_datetime(later, usegmt=True))
    assert seconds is not None
    assert 95 <= seconds <= 100
    assert http._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_patience() -> None:
    """Longer than a server's restart, shorter than anyone would wait for a wrong host name."""
    pauses = sum(min(60.0, 2.0**number) for number in range(http.TRIES - 1))
    assert 120 < pauses * 0.75 < 600


def test_stalled_server_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", Timeout(connect=1, read=0.3))
    with site(tmp_path, 100, Faults(Fault(stall_after=50, stall_seconds=5))) as here:
        begun = time.monotonic()
        here.fetch()
        assert time.monotonic() - begun < 4
        assert here.path.read_bytes() == here.content


def test_stop_ends_a_fetch(tmp_path: Path) -> None:
    with site(tmp_path, 100, lambda _: Fault(status=503)) as here:
        stop = threading.Event()
        stop.set()
        with pytest.raises(SourceError, match="stopped"):
            HttpSource(WHO, here.server.url).fetch(here.archive, Version(100, ""), 0, 100, stop)
        assert len(here.server.requests) <= 1


def test_a_request_that_is_repeated_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.02)
    said: list[str] = []
    with site(tmp_path, 1000, Faults(Fault(status=503), Fault(status=429, retry_after=1))) as here:
        source = HttpSource(WHO, f"{here.server.url}", note=said.append)
        version = source.version(here.archive)
        assert source.fetch(here.archive, version, 0, 1000, threading.Event()) == here.content
        assert source.fetch(here.archive, version, 5, 6, threading.Event()) == here.content[5:6]
    url = f"{here.server.url}/a.tar"
    assert said == [f"{url}: HTTP 503: trying again in 0 s", f"{url}: HTTP 429: trying again in 1 s"]
