"""Authentication: what is sent, and what is answered to a challenge."""

from __future__ import annotations

import base64
import hashlib
import os
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hither._errors import RequestNotRead
from hither._request import Request
from hither._response import Response
from hither._url import URL
from hither.policy import digest
from hither.policy.auth import (
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    FunctionAuth,
    NetRCAuth,
    build_auth,
    url_auth,
)
from hither.policy.digest import parse_challenges, parse_params, strongest_challenge

HERE = "https://example.org/dir/index.html"


def sent(auth: Auth, url: str = HERE) -> str | None:
    """The Authorization field of a first request."""
    return next(auth.auth_flow(Request("GET", url))).headers.get("authorization")


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()


class TestBasic:
    def test_rfc_7617_examples(self):
        assert sent(BasicAuth("Aladdin", "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        assert sent(BasicAuth("test", "123\u00a3")) == "Basic dGVzdDoxMjPCow=="

    def test_bytes_go_as_they_are(self):
        assert sent(BasicAuth(b"\xe9", b"p")) == "Basic " + base64.b64encode(b"\xe9:p").decode()

    def test_colons_only_in_the_password(self):
        assert sent(BasicAuth("a", "b:c")) == basic("a:b:c")
        with pytest.raises(ValueError, match="':'"):
            BasicAuth("a:b", "c")

    @pytest.mark.parametrize("bad", ["a\n", "a\r", "\x00", "\x7f"])
    def test_control_characters_are_refused(self, bad):
        with pytest.raises(ValueError, match="control character") as caught:
            BasicAuth("user", "pass" + bad)
        assert "pass" + bad not in str(caught.value)

    def test_other_kinds_are_refused(self):
        with pytest.raises(TypeError, match="password must be str or bytes, not int"):
            BasicAuth("user", 1)


class TestBearer:
    def test_a_token(self):
        assert sent(BearerAuth("abc")) == "Bearer abc"

    def test_a_function_is_asked_each_time(self):
        tokens = iter(["one", "two"])
        auth = BearerAuth(lambda: next(tokens))
        assert [sent(auth), sent(auth)] == ["Bearer one", "Bearer two"]

    @pytest.mark.parametrize("bad", ["", "a\r\nX: y", "a\n", " a"])
    def test_bad_tokens(self, bad):
        with pytest.raises(ValueError, match="bearer token"):
            BearerAuth(bad)
        with pytest.raises(ValueError, match="bearer token"):
            sent(BearerAuth(lambda: bad))

    def test_other_kinds(self):
        with pytest.raises(TypeError, match="must be str, not bytes"):
            BearerAuth(b"abc")
        with pytest.raises(TypeError, match="must be str, not NoneType"):
            sent(BearerAuth(lambda: None))


class TestBuild:
    def test_what_users_give(self):
        auth = DigestAuth("u", "p")
        assert build_auth(None) is None
        assert build_auth(auth) is auth
        assert sent(build_auth(("u", "p"))) == basic("u:p")
        assert isinstance(build_auth(lambda request: request), FunctionAuth)

    @pytest.mark.parametrize(
        "bad", ["token", b"token", 5, ["u", "p"], ("u",), ("u", "p", "x"), DigestAuth, ("u", None)]
    )
    def test_the_rest_is_refused(self, bad):
        with pytest.raises(TypeError):
            build_auth(bad)

    def test_text_is_told_of_bearer(self):
        with pytest.raises(TypeError, match="BearerAuth"):
            build_auth("token")

    def test_userinfo_of_a_url(self):
        assert url_auth(URL("https://example.org")) is None
        assert sent(url_auth(URL("https://us%40er:p%3Aw@example.org"))) == basic("us@er:p:w")
        assert sent(url_auth(URL("https://token@example.org"))) == basic("token:")

    def test_repr_shows_no_secret(self):
        for auth in [BasicAuth("u", "s3cret"), BearerAuth("s3cret"), DigestAuth("u", "s3cret")]:
            assert "s3cret" not in repr(auth)
            assert "czNjcmV0" not in repr(auth)


class TestFunction:
    def test_it_may_change_or_replace_the_request(self):
        def change(request):
            request.headers["X"] = "1"

        request = Request("GET", HERE)
        assert next(FunctionAuth(change).auth_flow(request)) is request
        assert request.headers["x"] == "1"
        other = Request("GET", HERE)
        assert next(FunctionAuth(lambda _: other).auth_flow(request)) is other

    def test_base_adds_nothing(self):
        assert sent(Auth()) is None


class TestNetRC:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "netrc"
        path.write_text(
            "machine example.org login ada password s3cret\nmachine xn--bcher-kva.example login b password c\n"
            "machine token.example account acc password p\n"
        )
        path.chmod(0o600)
        return path

    def test_by_host(self, file):
        auth = NetRCAuth(file)
        assert sent(auth) == basic("ada:s3cret")
        assert sent(auth, "http://example.org:8080/") == basic("ada:s3cret")
        assert sent(auth, "https://b\u00fccher.example/") == basic("b:c")
        assert sent(auth, "https://token.example/") == basic("acc:p")
        assert sent(auth, "https://www.example.org/") is None

    def test_default_entry(self, file):
        file.write_text("default login d password p")
        assert sent(NetRCAuth(str(file))) == basic("d:p")

    def test_named_by_the_environment(self, file, monkeypatch):
        monkeypatch.setenv("NETRC", str(file))
        assert sent(NetRCAuth()) == basic("ada:s3cret")

    def test_in_the_home_directory(self, file, monkeypatch, tmp_path):
        monkeypatch.delenv("NETRC", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        with pytest.raises(FileNotFoundError):
            NetRCAuth()
        os.rename(file, tmp_path / ".netrc")
        assert sent(NetRCAuth()) == basic("ada:s3cret")

    def test_a_broken_file_shows_no_secret(self, file):
        file.write_text("machine example.org login ada password x s3cret\n")
        with pytest.raises(ValueError, match="not a netrc file") as caught:
            NetRCAuth(file)
        assert "s3cret" not in str(caught.value)
        assert str(file) in str(caught.value)


# Challenges


class TestChallengeParser:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (['Basic realm="x"'], [("basic", {"realm": "x"})]),
            (["Negotiate, NTLM"], [("negotiate", {}), ("ntlm", {})]),
            (
                ['Digest realm="a", nonce="b", Basic realm="c"'],
                [("digest", {"realm": "a", "nonce": "b"}), ("basic", {"realm": "c"})],
            ),
            (['Digest realm="a, Basic realm=b"'], [("digest", {"realm": "a, Basic realm=b"})]),
            (['DIGEST REALM="a",,, , Nonce = b'], [("digest", {"realm": "a", "nonce": "b"})]),
            (["Basic realm=a", "Digest nonce=b"], [("basic", {"realm": "a"}), ("digest", {"nonce": "b"})]),
            ([r'Digest realm="a \"b\" \\c"'], [("digest", {"realm": r'a "b" \c'})]),
            (['Digest realm="open, nonce=x'], [("digest", {"realm": "open, nonce=x"})]),
            (['Digest realm="", nonce='], [("digest", {"realm": "", "nonce": ""})]),
            (['Digest nonce="1", nonce="2"'], [("digest", {"nonce": "1"})]),
            (['Digest realm="a" nonce="b"'], [("digest", {"realm": "a", "nonce": "b"})]),
            (['realm="a"', '"', "=", ",", ""], []),
        ],
    )
    def test_forms(self, values, expected):
        assert parse_challenges(values) == expected

    @given(st.lists(st.text(alphabet='Digest realm=",\\ nonce=\t\u00e9\n', max_size=40)))
    def test_never_raises(self, values):
        parse_challenges(values)
        strongest_challenge(values)
        for value in values:
            parse_params(value)

    @pytest.mark.parametrize(
        "junk", [", " * 30000 + '"', "a " * 30000, "a" + " " * 60000, 'a="' + "\\" * 60001, '"' * 60000]
    )
    @pytest.mark.time_limit(5)
    def test_junk_costs_linear_time(self, junk):
        parse_challenges([junk])


# Digest, with numbers from the RFCs


def refused(*challenges: str, **headers: str) -> Response:
    return Response(401, headers=[("WWW-Authenticate", each) for each in challenges] + list(headers.items()))


def fields_of(request: Request) -> dict[str, str]:
    scheme, _, rest = request.headers["authorization"].partition(" ")
    assert scheme == "Digest"
    return parse_params(rest)


def answer_to(auth: DigestAuth, *challenges: str, method: str = "GET", url: str = HERE, **options) -> dict[str, str]:
    flow = auth.auth_flow(Request(method, url, **options))
    next(flow)
    return fields_of(flow.send(refused(*challenges)))


@pytest.fixture
def cnonce(monkeypatch):
    def use(value: str) -> None:
        monkeypatch.setattr(digest, "new_cnonce", lambda: value)

    return use


RFC7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


class TestDigestVectors:
    def test_rfc_2617_section_3_5(self, cnonce):
        cnonce("0a4f113b")
        answer = answer_to(
            DigestAuth("Mufasa", "Circle Of Life"),
            'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'opaque="5ccc069c403ebaf9f0171e9517f40e41"',
            url="http://www.nowhere.org/dir/index.html",
        )
        assert answer == {
            "username": "Mufasa",
            "realm": "testrealm@host.com",
            "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "uri": "/dir/index.html",
            "qop": "auth",
            "nc": "00000001",
            "cnonce": "0a4f113b",
            "response": "6629fae49393a05397450978507c4ef1",
            "opaque": "5ccc069c403ebaf9f0171e9517f40e41",
        }

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_rfc_7616_section_3_9_1(self, cnonce, algorithm, response):
        cnonce("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
        auth = DigestAuth("Mufasa", "Circle of Life")
        answer = answer_to(auth, RFC7616.format(algorithm), url="http://www.example.org/dir/index.html")
        assert answer["response"] == response
        assert answer["algorithm"] == algorithm

    @pytest.mark.skipif("sha512_256" not in hashlib.algorithms_available, reason="OpenSSL without SHA-512/256")
    @pytest.mark.parametrize("userhash", [True, False])
    def test_rfc_7616_section_3_9_2(self, cnonce, userhash):
        cnonce("NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")
        challenge = (
            'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
            'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
            'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8'
        )
        if userhash:
            challenge += ", userhash=true"
        auth = DigestAuth("J\u00e4s\u00f8n Doe", "Secret, or not?")
        answer = answer_to(auth, challenge, url="http://api.example.org/doe.json")
        # The RFC's own numbers are wrong: erratum 4897 has these.
        assert answer["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        if userhash:
            assert answer["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
            assert answer["userhash"] == "true"
        else:
            assert answer["username*"] == "UTF-8''J%C3%A4s%C3%B8n%20Doe"

    def test_rfc_2069_without_qop(self):
        answer = answer_to(DigestAuth("u", "p"), 'Digest realm="r", nonce="n"')
        ha1, ha2 = md5("u:r:p"), md5("GET:/dir/index.html")
        assert answer["response"] == md5(f"{ha1}:n:{ha2}")
        assert answer.keys() == {"username", "realm", "nonce", "uri", "response"}

    @pytest.mark.parametrize("algorithm", ["MD5-sess", "md5-SESS"])
    def test_sess(self, algorithm):
        answer = answer_to(DigestAuth("u", "p"), f'Digest realm="r", nonce="n", qop=auth, algorithm={algorithm}')
        ha1 = md5(f"{md5('u:r:p')}:n:{answer['cnonce']}")
        assert answer["response"] == md5(f"{ha1}:n:00000001:{answer['cnonce']}:auth:{md5('GET:/dir/index.html')}")
        assert answer["algorithm"] == algorithm

    @pytest.mark.parametrize(("content", "body"), [(b"abc", b"abc"), (None, b"")])
    def test_auth_int(self, content, body):
        answer = answer_to(
            DigestAuth("u", "p"), 'Digest realm="r", nonce="n", qop="auth-int"', method="POST", content=content
        )
        ha2 = md5(f"POST:/dir/index.html:{hashlib.md5(body).hexdigest()}")
        assert answer["qop"] == "auth-int"
        assert answer["response"] == md5(f"{md5('u:r:p')}:n:00000001:{answer['cnonce']}:auth-int:{ha2}")


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class TestDigestFlow:
    def test_first_request_goes_without(self):
        assert sent(DigestAuth("u", "p")) is None

    def test_other_schemes_are_the_callers(self):
        for challenge in ['Basic realm="x"', "Digest", 'Digest realm="no nonce"', 'Digest nonce=1, algorithm="X-9"',
                          'Digest nonce=1, qop="auth-conf"']:  # fmt: skip
            flow = DigestAuth("u", "p").auth_flow(Request("GET", HERE))
            next(flow)
            with pytest.raises(StopIteration):
                flow.send(refused(challenge))

    def test_wrong_password_is_not_tried_for_ever(self):
        auth = DigestAuth("u", "p")
        flow = auth.auth_flow(Request("GET", HERE))
        next(flow)
        flow.send(refused('Digest realm="r", nonce="1", qop=auth'))
        with pytest.raises(StopIteration):
            flow.send(refused('Digest realm="r", nonce="2", qop=auth'))
        assert sent(auth) is None

    def test_a_stale_nonce_is_answered_again_but_not_for_ever(self):
        flow = DigestAuth("u", "p").auth_flow(Request("GET", HERE))
        next(flow)
        flow.send(refused('Digest realm="r", nonce="1", qop=auth'))
        again = flow.send(refused('Digest realm="r", nonce="2", qop=auth, stale=TRUE'))
        assert fields_of(again)["nonce"] == "2"
        assert fields_of(again)["nc"] == "00000001"
        with pytest.raises(StopIteration):
            flow.send(refused('Digest realm="r", nonce="3", qop=auth, stale=true'))

    def test_the_challenge_is_remembered_for_its_origin(self):
        auth = DigestAuth("u", "p")
        answer_to(auth, 'Digest realm="r", nonce="n", qop=auth')
        later = next(auth.auth_flow(Request("GET", "https://example.org/other?q=1")))
        assert fields_of(later)["nc"] == "00000002"
        assert fields_of(later)["uri"] == "/other?q=1"
        assert sent(auth, "http://example.org/") is None
        assert sent(auth, "https://other.example/") is None

    def test_a_remembered_challenge_may_have_expired(self):
        auth = DigestAuth("u", "p")
        answer_to(auth, 'Digest realm="r", nonce="old", qop=auth')
        flow = auth.auth_flow(Request("GET", HERE))
        assert fields_of(next(flow))["nonce"] == "old"
        assert fields_of(flow.send(refused('Digest realm="r", nonce="new", qop=auth')))["nonce"] == "new"

    def test_nextnonce(self):
        auth = DigestAuth("u", "p")
        flow = auth.auth_flow(Request("GET", HERE))
        next(flow)
        first = fields_of(flow.send(refused('Digest realm="r", nonce="1", qop=auth, algorithm=MD5-sess')))
        with pytest.raises(StopIteration):
            flow.send(Response(200, headers={"Authentication-Info": 'nextnonce="2", qop=auth'}))
        then = fields_of(next(auth.auth_flow(Request("GET", HERE))))
        assert (then["nonce"], then["nc"]) == ("2", "00000001")
        key = md5(f"{md5('u:r:p')}:1:{first['cnonce']}")
        assert then["response"] == md5(f"{key}:2:00000001:{then['cnonce']}:auth:{md5('GET:/dir/index.html')}")

    @pytest.mark.parametrize("in_one_field", [True, False])
    def test_the_strongest_is_chosen_with_its_own_nonce(self, in_one_field):
        challenges = [
            'Digest realm="r", nonce="m", qop="auth", algorithm=MD5',
            'Digest realm="r", nonce="s", qop="auth", algorithm=SHA-256',
            'Basic realm="r"',
            'Digest realm="r", nonce="x", qop="auth", algorithm=UNKNOWN-1',
        ]
        answer = answer_to(DigestAuth("u", "p"), *([", ".join(challenges)] if in_one_field else challenges))
        assert (answer["nonce"], answer["algorithm"]) == ("s", "SHA-256")

    def test_unquoted_fields_are_unquoted(self):
        auth = DigestAuth("u", "p")
        flow = auth.auth_flow(Request("GET", HERE))
        next(flow)
        value = flow.send(refused('Digest realm="r", nonce="n", qop="auth", algorithm="MD5"')).headers["authorization"]
        assert "qop=auth," in value
        assert "nc=00000001," in value
        assert "algorithm=MD5" in value

    def test_quotes_in_values_are_escaped(self):
        flow = DigestAuth('u"\\', "p").auth_flow(Request("GET", HERE))
        next(flow)
        request = flow.send(refused(r'Digest realm="a \"b\"", nonce="n", opaque=""'))
        assert r'username="u\"\\"' in request.headers["authorization"]
        assert r'realm="a \"b\""' in request.headers["authorization"]
        assert fields_of(request)["opaque"] == ""

    def test_non_ascii_names_for_old_servers(self):
        answer = answer_to(DigestAuth("J\u00e4s\u00f8n", "p"), 'Digest realm="r", nonce="n"')
        assert answer["username"] == "J\u00e4s\u00f8n"
        key = md5("J\u00e4s\u00f8n:r:p")
        assert answer["response"] == md5(f"{key}:n:{md5('GET:/dir/index.html')}")

    def test_auth_int_with_a_stream_is_refused_unless_it_is_read(self):
        challenge = 'Digest realm="r", nonce="n", qop="auth-int"'
        auth = DigestAuth("u", "p")
        with pytest.raises(RequestNotRead, match="auth-int"):
            answer_to(auth, challenge, method="POST", content=[b"abc"])
        request = Request("POST", HERE, content=[b"abc"])
        request.read()
        assert fields_of(next(auth.auth_flow(request)))["qop"] == "auth-int"

    def test_a_stream_is_fine_when_auth_is_offered_too(self):
        answer = answer_to(
            DigestAuth("u", "p"), 'Digest realm="r", nonce="n", qop="auth-int,auth"', method="POST", content=[b"abc"]
        )
        assert answer["qop"] == "auth"

    def test_counts_never_repeat_between_threads(self):
        auth = DigestAuth("u", "p")
        answer_to(auth, 'Digest realm="r", nonce="n", qop=auth')
        counts: list[str] = []

        def work() -> None:
            for _ in range(200):
                counts.append(fields_of(next(auth.auth_flow(Request("GET", HERE))))["nc"])

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(counts)) == 800

    def test_origins_are_bounded(self):
        auth = DigestAuth("u", "p")
        for number in range(150):
            answer_to(auth, 'Digest realm="r", nonce="n"', url=f"https://h{number}.example/")
        assert len(auth._sessions) == 100
        assert sent(auth, "https://h149.example/") is not None
        assert sent(auth, "https://h0.example/") is None

    def test_pickles_without_its_nonces(self):
        auth = DigestAuth("u", "p")
        answer_to(auth, 'Digest realm="r", nonce="n"')
        assert sent(pickle.loads(pickle.dumps(auth))) is None
