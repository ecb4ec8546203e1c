"""Writes templates.json: what Python's jinja2, set up as Hugging Face's apply_chat_template does,
makes of the templates in chat_styles.py, jinja_snippets.py and jinja_builtin_snippets.py. Made with
Python 3.11, whose Unicode version node/text/jinja/values/unicode_tables.h has too.
Run: pip install jinja2==3.1.6; python generate_templates.py
"""
import json
import pathlib

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chat_styles import CONVERSATIONS, STYLES
import jinja_builtin_snippets as more
from jinja_snippets import EXPRESSIONS, SNIPPET_MESSAGES, STATEMENTS, WHITESPACE


class Generation(Extension):
    """{% generation %}…{% endgeneration %}: marks the model's output; only its body is rendered."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def make_environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    for name in ("lipsum", "cycler", "joiner"):  # ours does not have them
        del env.globals[name]
    return env


def render(env, template, messages, add_generation_prompt=True):
    try:
        return {"text": env.from_string(template).render(
            messages=messages, tools=None, documents=None, bos_token="<s>", eos_token="</s>",
            add_generation_prompt=add_generation_prompt)}
    except jinja2.exceptions.TemplateSyntaxError as error:
        return {"error": "syntax", "line": error.lineno}
    except Exception:  # whatever Python raises: ours must not render either
        return {"error": "render"}


def main():
    env = make_environment()
    renders = [
        {"style": style, "conversation": name, "add_generation_prompt": prompt,
         **render(env, template, messages, prompt)}
        for style, template in STYLES.items()
        for name, messages in CONVERSATIONS.items()
        for prompt in (True, False)]
    templates = WHITESPACE + ["{{ %s }}" % e for e in EXPRESSIONS + more.EXPRESSIONS]
    templates += STATEMENTS + more.STATEMENTS
    snippets = [{"template": t, **render(env, t, SNIPPET_MESSAGES)} for t in templates]
    document = {"source": f"PyPI jinja2 {jinja2.__version__}", "styles": STYLES,
                "conversations": CONVERSATIONS, "snippet_messages": SNIPPET_MESSAGES}
    body = json.dumps(document, ensure_ascii=False, indent=1)[:-2]
    for key, rows in (("renders", renders), ("snippets", snippets)):
        lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
        body += f',\n "{key}": [\n{lines}\n]'
    pathlib.Path(__file__).with_name("templates.json").write_text(body + "\n}\n")


if __name__ == "__main__":
    main()
