from __future__ import annotations

import hashlib
import ipaddress
import ssl
import threading
from datetime import datetime, timedelta, timezone
from time import monotonic, sleep
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgenn.errors import SourceError
from edgenn.runtime.update.download import Client

LOCAL = ipaddress.ip_address("127.0.0.1")
DATA = bytes(range(256)) * 2000
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def stopped():
    return threading.Event()


@pytest.fixture
def client(stopped):
    return Client(stopped, timeout_s=0.5, stall_s=1.0, pause_s=0.01)


@pytest.fixture
def get(client, server, tmp_path):
    """Downloads ``big`` from the server; gives the file back."""
    (server.folder / "big").write_bytes(DATA)

    def get(name="big", data=DATA):
        into = tmp_path / "into.part"
        client.download(server.base + name, into, len(data), hashlib.sha256(data).hexdigest())
        return into

    return get


def ranges(server):
    return [asked for _, asked in server.asked]


def test_a_file_arrives_whole_and_is_not_fetched_twice(get, server):
    assert get().read_bytes() == DATA
    get()
    assert ranges(server) == [None]


def test_what_broke_off_is_continued_where_it_was(get, server):
    cuts = iter([100_000, 150_000])
    server.odd["big"] = lambda handler: handler.hand_out(DATA, cut=next(cuts, None))
    assert get().read_bytes() == DATA
    assert ranges(server) == [None, "bytes=100000-", "bytes=250000-"]


def test_a_file_that_is_another_one_meanwhile_is_begun_anew(get, server, tmp_path):
    into = tmp_path / "into.part"
    into.write_bytes(b"old" * 1000)
    (tmp_path / "into.part.etag").write_text('"old"')
    assert get().read_bytes() == DATA
    assert ranges(server) == ["bytes=3000-"]
    into.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(SourceError, match="does not have the hash"):
        get()
    assert not into.exists()


def test_a_server_that_does_not_know_ranges_is_no_trouble(get, server, tmp_path):
    cuts = iter([1000])

    def plain(handler):
        handler.answer(200, DATA, {"ETag": 'W/"weak"'}, cut=next(cuts, None))

    server.odd["big"] = plain
    assert get().read_bytes() == DATA
    assert ranges(server) == [None, None]


def hangs(handler):
    sleep(3)


def trickles(handler):
    """A byte now and then, so that no read ever takes too long."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    for _ in range(60):
        handler.wfile.write(b"x")
        sleep(0.1)


def trickles_headers(handler):
    for _ in range(60):
        handler.wfile.write(b"H")
        sleep(0.1)


def endless(handler):
    """10 GB for what should be half a megabyte."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(10_000):
        handler.wfile.write(bytes(1 << 20))


def announces(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "10000000000")
    handler.end_headers()


def leads_to(target):
    return lambda handler: handler.answer(302, b"", {"Location": target})


def lies(handler):
    handler.answer(206, b"x" * 10, {"Content-Range": "bytes 5-14/15"})


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (hangs, "timed out"),
        (trickles, "less than 16 kB came in 1 s"),
        (trickles_headers, "less than 16 kB came in 1 s"),
        (endless, "is not the 512000 bytes that the index says"),
        (announces, "has 10000000000 bytes, but the index says 512000"),
        (leads_to("file:///etc/passwd"), "'file:///etc/passwd', which is not allowed"),
        (leads_to("ftp://127.0.0.1/x"), "which is not allowed"),
        (leads_to("/big"), "redirect"),
        (lambda handler: handler.answer(500, b""), "the server answers 500"),
        (lambda handler: handler.answer(200, b"x" * 10), "has 10 bytes, but the index says"),
        (lambda handler: handler.answer(200, b"x" * len(DATA)), "does not have the hash"),
        (lambda handler: handler.wfile.write(b"no http\r\n\r\n"), "cannot get"),
        (lambda handler: None, "cannot get"),
        (lies, "is not the 512000 bytes"),
    ],
)
def test_a_server_that_misbehaves_is_told_in_a_sentence_and_in_time(get, server, odd, why):
    server.odd["big"] = odd
    begun = monotonic()
    with pytest.raises(SourceError, match=why) as caught:
        get()
    assert monotonic() - begun < 4
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "data:,x", "http:///x", "x"])
def test_nothing_but_http_is_asked(client, url):
    with pytest.raises(SourceError, match="only http and https are"):
        client.fetch(url, 1000)


def test_a_redirect_to_http_is_followed(client, server):
    (server.folder / "small").write_bytes(b"hello")
    server.odd["there"] = leads_to(server.base + "small")
    assert client.fetch(server.base + "there", 1000) == b"hello"
    with pytest.raises(SourceError, match="5 bytes, and 4 are the most"):
        client.fetch(server.base + "small", 4)
    server.odd["small"] = endless
    with pytest.raises(SourceError, match="larger than 4 bytes"):
        client.fetch(server.base + "small", 4)


def test_https_does_not_lead_to_http():
    from edgenn.runtime.update._http import refuse_other

    with pytest.raises(SourceError, match="not allowed"):
        refuse_other("http://h/x", "https://h/x")
    refuse_other("https://h/x", "http://h/x")


def test_a_download_ends_when_it_is_told_to(get, server, stopped):
    server.odd["big"] = trickles
    threading.Timer(0.3, stopped.set).start()
    begun = monotonic()
    with pytest.raises(SourceError):
        get()
    assert monotonic() - begun < 0.9


def test_a_full_disk_is_told_before_anything_is_fetched(get, server, monkeypatch):
    full = SimpleNamespace(free=1 << 20)
    monkeypatch.setattr("edgenn.runtime.update.download.shutil.disk_usage", lambda _: full)
    with pytest.raises(SourceError, match="the disk has room for"):
        get()
    assert server.asked == []


@pytest.fixture
def certificate(tmp_path, request):
    """Files of a certificate for 127.0.0.1 that signed itself, and of its key.

    Valid now, or in as many days as the test says.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc) + timedelta(days=getattr(request, "param", 0))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOCAL)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    return tmp_path / "cert.pem", tmp_path / "key.pem"


def speak_tls(server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.base = server.base.replace("http:", "https:")


@pytest.mark.parametrize("certificate", [3650, -3650], indirect=True)
def test_with_a_clock_that_is_wrong_by_years_the_clock_is_asked_about(
    get, server, certificate, monkeypatch
):
    speak_tls(server, certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    today = datetime.now(timezone.utc).date()
    with pytest.raises(SourceError, match=rf"the clock of this device says {today}, is it right\?"):
        get()


def test_https_wants_a_certificate_that_is_trusted(
    get, server, client, certificate, monkeypatch, stopped
):
    speak_tls(server, certificate)
    with pytest.raises(SourceError, match=r"(?i)certificate verify failed"):
        get()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    cuts = iter([100_000])
    server.odd["big"] = lambda handler: handler.hand_out(DATA, cut=next(cuts, None))
    assert get().read_bytes() == DATA
    assert ranges(server) == [None, "bytes=100000-"]
    (server.folder / "small").write_bytes(b"hello")
    assert client.fetch(server.base + "small", 100) == b"hello"
    server.odd["small"] = leads_to(server.base.replace("https:", "http:") + "big")
    with pytest.raises(SourceError, match="which is not allowed"):
        client.fetch(server.base + "small", 100)
    server.odd["big"] = trickles
    with pytest.raises(SourceError, match="less than 16 kB came in 1 s"):
        client.fetch(server.base + "big", 1 << 20)
