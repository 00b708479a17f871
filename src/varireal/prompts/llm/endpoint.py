"""Any endpoint that speaks OpenAI's chat-completions protocol, over plain HTTP requests.

The protocol: https://platform.openai.com/docs/api-reference/chat (POST {base_url}/chat/completions).
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from varireal.config import LlmConfig
from varireal.errors import UserError
from varireal.prompts.llm.backend import AskAgainError, LlmQuestion, MalformedAnswerError, Reply
from varireal.prompts.llm.json_text import excerpt

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 10_000_000
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})


class Endpoint:
    """Asks an endpoint: the backend of the prompt source ``openai``."""

    def __init__(self, config: LlmConfig) -> None:
        """Check address and key; nothing is sent.

        Raises:
            UserError: the address is not one of an endpoint, or the key would travel unencrypted.
        """
        self._config = config
        self.concurrency = config.concurrency
        self._url = f"{str(config.base_url).rstrip('/')}/chat/completions"
        self._key = os.environ.get(config.api_key_variable, "").strip()
        _check_address(str(config.base_url), bool(self._key), config.api_key_variable)
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"the environment variable {config.api_key_variable} holds signs that no key has")

    def describe(self, question: LlmQuestion) -> dict[str, Any]:
        """Return the endpoint, the model and the parameters."""
        return {"source": "openai", "base_url": self._config.base_url, "model": self._model(question),
                "parameters": self._parameters(question)}  # fmt: skip

    def ask(self, question: LlmQuestion, seed: int) -> Reply:
        """Send the question once; see :class:`varireal.prompts.llm.backend.Backend`."""
        body = {"model": self._model(question), "messages": question.messages, **self._parameters(question)}
        if self._config.send_seed:
            body["seed"] = seed
        status, headers, content = self._post(body)
        if status != 200:
            raise self._refusal(status, headers, content)
        if words := _error_in_an_answer(content):
            raise AskAgainError(f"{self._url} answers 200 with an error: {self._shown(words)}")
        return _reply(content)

    def _model(self, question: LlmQuestion) -> str:
        critic = self._config.critic_model if question.purpose == "judge" else None
        return critic or str(self._config.model)

    def _parameters(self, question: LlmQuestion) -> dict[str, Any]:
        config = self._config
        parameters: dict[str, Any] = {config.token_limit_name: config.max_tokens}
        if config.temperature is not None:
            parameters["temperature"] = config.temperature
        if config.response_format == "json_object":
            parameters["response_format"] = {"type": "json_object"}
        elif config.response_format == "json_schema":
            form = {"name": question.member, "strict": True, "schema": question.schema}
            parameters["response_format"] = {"type": "json_schema", "json_schema": form}
        return parameters

    def _post(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers with lower-case names, and the whole body."""
        import requests
        import urllib3

        try:
            with requests.post(
                self._url,
                json=body,
                auth=self._authorize,
                timeout=(min(CONNECT_SECONDS, self._config.timeout), self._config.timeout),
                allow_redirects=False,  # a key goes to the address in params.yaml and nowhere else
                stream=True,
            ) as response:
                content = self._read(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return response.status_code, headers, content
        except requests.exceptions.SSLError as error:
            raise UserError(f"{self._url}: the certificate is not trusted ({self._shown(str(error))})") from error
        except (requests.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
            raise AskAgainError(f"{self._url} did not answer within {self._config.timeout:g} s") from error
        except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:  # the latter: while reading the body
            raise AskAgainError(f"{self._url}: the connection failed ({self._shown(str(error))})") from error
        except requests.RequestException as error:
            raise UserError(f"{self._url} cannot be asked ({self._shown(str(error))})") from error

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the key. Given to requests as `auth`, it also keeps passwords of ~/.netrc from being sent."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _read(self, response: requests.Response) -> bytes:
        """Read the body within the time and size that one answer may take.

        Whatever has come is taken at once: requests' own reading waits for a whole block, with as much time for each
        of its bytes as the answer has in all.
        """
        deadline = time.monotonic() + self._config.timeout
        content = b""
        while block := response.raw.read1(65536, decode_content=True):
            content += block
            if len(content) > MAX_ANSWER_BYTES:
                raise AskAgainError(f"{self._url}: the answer is larger than {MAX_ANSWER_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise AskAgainError(f"{self._url} did not finish its answer within {self._config.timeout:g} s")
        return content

    def _refusal(self, status: int, headers: dict[str, str], content: bytes) -> Exception:
        """Return what to raise for an answer that is an error."""
        code, words = _error_of(content)
        said = f"{self._url} answers {status}" + (f": {self._shown(words)}" if words else "")
        if code == "insufficient_quota":
            return UserError(f"{said}; the account has no credit left: finished answers are kept, run again later")
        if status in _PASSING:
            wait = _retry_after(headers.get("retry-after"))
            return AskAgainError(said + (f" (asks to wait {wait:g} s)" if wait else ""), wait)
        if status in (401, 403):
            return UserError(f"{said}; set the environment variable {self._config.api_key_variable} to a valid key")
        if status == 404:
            return UserError(f"{said}; check llm.base_url (it ends before /chat/completions) and llm.model")
        if 300 <= status < 400:
            return UserError(f"{said} with a redirection, which is not followed; correct llm.base_url")
        return UserError(
            f"{said}; the endpoint may not know a parameter: see llm.response_format, llm.token_limit_name, "
            "llm.send_seed and llm.temperature"
        )

    def _shown(self, text: str) -> str:
        """Return a text from outside as one short line without the key."""
        return excerpt(text.replace(self._key, "***") if self._key else text, 200)


def _check_address(base_url: str, has_key: bool, variable: str) -> None:
    """Raise UserError unless the address is an http(s) one that a key may be sent to."""
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"llm.base_url = {excerpt(base_url)!r} is no address ({error})") from error
    if parts.scheme not in ("http", "https") or not host:
        raise UserError(f"llm.base_url = {excerpt(base_url)!r} must begin with https:// or http:// and name a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise UserError(
            f"llm.base_url must hold no password, question mark or #; give a key in the environment variable {variable}"
        )
    if has_key and parts.scheme == "http" and not _is_loopback(host):
        raise UserError(
            f"llm.base_url: the key in {variable} would travel unencrypted to {host}; use https, or unset {variable}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, given in seconds or as a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        return max(float(value), 0.0) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _error_of(content: bytes) -> tuple[str | None, str]:
    """Return the code and the words of an error body: OpenAI's form, or its plain text."""
    text = content[:10_000].decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        return (error.get("code"), str(error.get("message", ""))) if isinstance(error, dict) else (None, str(error))
    except (ValueError, RecursionError, KeyError, TypeError):
        return None, text


def _error_in_an_answer(content: bytes) -> str | None:
    """Return the words of an error that a body of status 200 holds instead of an answer, as gateways send it."""
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        return None
    told = isinstance(raw, dict) and raw.get("error") and not raw.get("choices")
    return _error_of(content)[1] or "no words" if told else None


def _reply(content: bytes) -> Reply:
    """Return the answer in a body of status 200; of a model that declines, its excuse.

    Raises:
        MalformedAnswerError: it is not of the protocol's form.
    """
    shown = excerpt(content[:2000].decode("utf-8", "replace"))
    try:
        raw = _storable(json.loads(content))
        choice = raw["choices"][0]
        said, instead = _text_of(choice["message"], choice.get("finish_reason"))
        usage = raw.get("usage") or {}
        tokens = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError) as error:
        streamed = "as a stream, though none was asked for: " if content.lstrip().startswith(b"data:") else ""
        raise MalformedAnswerError(f"the endpoint's answer is not of the protocol's form: {streamed}{shown}") from error
    return Reply(said, choice.get("finish_reason") != "length", tokens[0], tokens[1], raw, instead)


def _storable(value: Any) -> Any:
    """Return a value with what Python reads as JSON, but nobody else: NaN, and halves of an emoji that was cut."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), parse_constant=str)


def _text_of(message: dict[str, Any], finish_reason: Any) -> tuple[str, str]:
    """Return the text of an answer, and in words what came instead where it has none of its own.

    Some servers give the content in parts, some put all of an answer into the field of the reasoning.
    """
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        refusal = refusal or next((part["refusal"] for part in parts if part.get("refusal")), None)
        # parts of reasoning have another type, or no text
        content = "".join(
            str(part.get("text") or "") for part in parts if part.get("type", "text") in ("text", "output_text")
        )
    if refusal:
        return str(refusal), "the model refused"
    if isinstance(content, str) and content.strip():
        return content, ""
    called = [excerpt(str(call["function"]["name"]), 40) for call in message.get("tool_calls") or []]
    if called:
        return "", f"the model called the tool {', '.join(called)}, though none was offered"
    for field in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(message.get(field), str) and message[field].strip():
            return message[field], f"it has reasoning only (finish_reason {finish_reason})"
    return "", f"finish_reason {finish_reason}"
