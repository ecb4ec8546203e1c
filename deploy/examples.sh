# Examples for a running cluster (sourced, not run): each function prints one command that can be
# pasted into a shell as it stands. deploy/quickstart.sh shows them, tests/cluster runs them.
#   curl_example HTTP MODEL
#   client_example ZMQ MODEL PYTHON SOURCE_TREE
#   openai_example HTTP MODEL PYTHON
# HTTP is HOST:PORT, ZMQ an endpoint, PYTHON an interpreter that has pyzmq, msgpack and openai.

curl_example() {
  cat <<CURL
curl -sS -N http://$1/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{"model":"$2","stream":true,"messages":[{"role":"user","content":"Hello!"}]}'
CURL
}

client_example() {
  cat <<CLIENT
PYTHONPATH=$(printf %q "$4")/clients/python $(printf %q "$3") -c '
from lockstep_client import Client
with Client("$1") as client:
    for piece in client.stream(model="$2", messages=[{"role": "user", "content": "Hello!"}]):
        print(piece.text, end="", flush=True)
    print()
'
CLIENT
}

openai_example() {
  cat <<OPENAI
$(printf %q "$3") -c '
from openai import OpenAI
client = OpenAI(base_url="http://$1/v1", api_key="none")
answer = client.chat.completions.create(model="$2", messages=[{"role": "user", "content": "Hello!"}])
print(answer.choices[0].message.content)
'
OPENAI
}
