"""A property-based run over the whole API: every operation of the OpenAPI document, with data made from its schemas.

Starts the demonstration on a free port, signs in as its owner and as a visitor, and lets schemathesis call every operation with what
fits the schemas and with what does not: once with ids of its own making, once with ids of things that are there. What it asks of
every answer: no 5xx, no status, content type or body that the document does not tell of, and what does not fit is refused.
Afterwards the server must still answer, and its log must hold no error.

Usage: run.py SCHEMATHESIS BATON [SECONDS]
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

CHECKS = ",".join([
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
])
# What would end the run itself: the owner's session, and the socket, which is no plain request.
LEFT_OUT = ["/api/v1/auth/sign-out", "/api/v1/live"]
# Every request carries good credentials, so none that lacks them can be made here: tests/walls does that, for each operation.
SIGNED_IN = "[generation]\nwith-security-parameters = false\n"
UNLIMITED = {
    "BATON_LIMITS__AGENT_REQUESTS_PER_SECOND": "1000000",
    "BATON_LIMITS__VISITOR_MESSAGES_PER_MINUTE": "1000000",
    "BATON_LIMITS__VISITOR_MESSAGES_BURST": "1000000",
    "BATON_LIMITS__VISITOR_SESSIONS_PER_MINUTE": "1000000",
    "BATON_LIMITS__SIGN_IN_PER_MINUTE": "1000000",
    "BATON_LIMITS__SIGN_IN_ADDRESS_PER_MINUTE": "1000000",
    "BATON_LOG__FORMAT": "json",
}


class Server:
    """The demonstration, as a child process."""

    def __init__(self, baton: str, folder: Path):
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [baton, "demo", "--json", "--fresh", "--data", str(folder / "data"), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            env={**os.environ, **UNLIMITED},
            text=True,
        )
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start:\n{self.log.read_text()}")
        self.told = json.loads(line)
        self.origin = self.told["console"].rstrip("/")

    def call(self, method: str, path: str, body=None, **headers) -> tuple[dict, dict]:
        """Calls an operation; returns the body and the headers of the answer."""
        request = urllib.request.Request(
            self.origin + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "origin": self.origin, **headers},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else {}, dict(answer.headers.items())

    def errors(self) -> list[str]:
        """What the log says at level ERROR."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if '"level":"ERROR"' in line or "panicked" in line]

    def stop(self) -> int:
        """Ends it as an operator would."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def sign_in(server: Server) -> tuple[str, str]:
    """The owner's cookie and a visitor's token."""
    owner = next(who for who in server.told["log_ins"] if who["role"] == "owner")
    _, headers = server.call(
        "POST", "/api/v1/auth/sign-in", {"email": owner["email"], "password": owner["password"]}
    )
    cookie = headers.get("set-cookie", headers.get("Set-Cookie", "")).split(";")[0]
    key = server.told["inbox_key"]
    session, _ = server.call("POST", f"/api/v1/widget/{key}/session", {})
    return cookie, session["token"]


def things(server: Server, cookie: str, token: str) -> dict[str, str]:
    """Ids of what is there, by the path they belong in."""
    hello = {"text": "How long does a refund take?", "client_id": "run-1"}
    sent, _ = server.call("POST", "/api/v1/widget/messages", hello, authorization=f"Bearer {token}")
    rows, _ = server.call("GET", "/api/v1/conversations?view=all", cookie=cookie)
    row = next(row for row in rows["items"] if row["id"] == sent["conversation_id"])

    def first(path: str) -> str:
        return server.call("GET", path, cookie=cookie)[0]["items"][0]["id"]

    base = first("/api/v1/knowledge-bases")
    return {
        "/api/v1/conversations": {"id": row["id"]},
        "/api/v1/contacts": {"id": row["contact"]["id"]},
        "/api/v1/knowledge-bases": {
            "id": base,
            "article": first(f"/api/v1/knowledge-bases/{base}/articles"),
        },
        "/api/v1/assistants": {"id": first("/api/v1/assistants")},
        "/api/v1/inboxes": {"id": first("/api/v1/inboxes")},
        "/api/v1/widget": {"key": server.told["inbox_key"]},
    }


def configuration(document: dict, known: dict[str, dict[str, str]]) -> str:
    """Tells schemathesis which ids to use where."""
    parts = []
    for path in document["paths"]:
        place = next((prefix for prefix in known if path.startswith(prefix + "/{")), None)
        if place is None:
            continue
        ids = {name: value for name, value in known[place].items() if "{" + name + "}" in path}
        listed = ", ".join(f'"path.{name}" = {json.dumps(value)}' for name, value in ids.items())
        parts.append(f"[[operations]]\ninclude-path = {json.dumps(path)}\nparameters = {{ {listed} }}\n")
    return "\n".join(parts)


def main() -> int:
    schemathesis, baton = sys.argv[1], sys.argv[2]
    seconds = int(sys.argv[3] if len(sys.argv) > 3 else os.environ.get("BATON_TEST_API_SECONDS", "60"))
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="baton-api.") as name:
        folder = Path(name)
        server = Server(baton, folder)
        try:
            cookie, token = sign_in(server)
            document = folder / "openapi.json"
            subprocess.run([baton, "openapi", "-o", str(document)], check=True)
            known = configuration(json.loads(document.read_text()), things(server, cookie, token))
            for title, config in [("ids of its own making", ""), ("ids of things that are there", known)]:
                (folder / "schemathesis.toml").write_text(f"{SIGNED_IN}\n{config}")
                print(f"== {title}", flush=True)
                run = [
                    schemathesis, "--config-file", str(folder / "schemathesis.toml"),
                    "run", str(document), "--url", server.origin,
                    "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
                    "--max-time", str(seconds), "--continue-on-failure", "--request-timeout", "20",
                    "--seed", os.environ.get("BATON_TEST_SEED", "20"), "--warnings", "off", "--no-color",
                    "-H", f"Cookie: {cookie}", "-H", f"Authorization: Bearer {token}",
                    "-H", f"Origin: {server.origin}",
                ]
                for path in LEFT_OUT:
                    run += ["--exclude-path", path]
                ended = subprocess.run(run, cwd=folder)
                passed, failed = (passed + 1, failed) if ended.returncode == 0 else (passed, failed + 1)
            server.call("GET", "/api/v1/auth/me", cookie=cookie)
            for line in server.errors():
                print(f"the server logged: {line[:400]}")
                failed += 1
        finally:
            code = server.stop()
    if code != 0:
        print(f"the server ended with {code}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
