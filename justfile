# The everyday commands. CI installs the tools (`.ci/run`) and runs the steps of `just ci`: nothing that
# cannot be run here. `cargo test` needs none of this.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The recipes, by name.
default:
    @just --list --unsorted

# All that CI checks, in its order.
ci: fmt lint test unshared docs slim proto manifests deny sandbox observability telemetry clients sign-in cluster

# Is everything formatted? (`cargo fmt` mends it.)
fmt:
    cargo fmt --check
    cargo fmt --check --manifest-path fuzz/Cargo.toml

# Warnings are errors.
lint:
    cargo clippy --all-targets --all-features -- -D warnings
    # In the gateway's own profile and build directory, so that little is built twice.
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}" CARGO_PROFILE_DEV_OPT_LEVEL=0 \
        cargo clippy --locked --manifest-path fuzz/Cargo.toml -- -D warnings
    tests/seeded/run --apply

# Every test.
test *ARGS:
    cargo test {{ ARGS }}

# The gateway's tests once more, as if each call with a token in use had come to another replica.
unshared:
    GATEWAY_TEST_SHARING=off cargo test --test gateway

# The documentation, without a broken link.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

# What release images are built from: no sandbox.
slim:
    cargo clippy --no-default-features -- -D warnings

# The contract: lint, format, and nothing broken that an earlier one promised.
proto:
    buf lint
    buf format --diff --exit-code
    .ci/breaking

# Chart and kustomization: rendered, compared, held against Kubernetes' schemas. No cluster is needed, and KUBECONFIG's is left alone.
manifests:
    env -u KUBECONFIG tests/kubernetes/manifests

# Dependencies: bans, licences, sources, and advisories where their database is at hand.
deny:
    cargo deny --all-features check -A license-exception-not-encountered bans licenses sources
    cargo deny --manifest-path fuzz/Cargo.toml --config deny.toml check -A unmatched-skip bans licenses sources
    .ci/advisories

# The gateway in front of an embedded OCI: one backup of each kind.
sandbox:
    cargo run -- sandbox --once --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0

# A real Prometheus in front of gateways under faults: every query of dashboard and rules has data. `--draw FILE` draws it.
observability *ARGS:
    tests/observability/run {{ ARGS }}

# The OpenTelemetry Collector's own receiver: what a traced caller's calls leave there, over gRPC and over HTTP.
telemetry:
    tests/telemetry/run

# The gateway through the eyes of clients in five languages, their generated code, and their pages.
clients:
    tests/clients/run
    tests/clients/fresh
    tests/clients/pages

# OCI's Python and Go SDKs against the sandbox, by each way to sign in.
sign-in:
    tests/sign_in/run

# Chart, kustomization and images on a real Kubernetes; as root, on Debian. With KUBECONFIG, on that cluster.
kubernetes *NAMES:
    tests/kubernetes/run {{ NAMES }}

# The same as a step of CI, always on a cluster of its own: where it cannot be, that is said aloud.
cluster:
    if [[ "$(id -u)" == 0 && -e /etc/debian_version ]] && unshare --mount --net true; then \
        env -u KUBECONFIG tests/kubernetes/run; \
    else \
        echo "NOT RUN: a Kubernetes of one's own needs root, Debian, and namespaces of its own"; \
    fi

# Faults planted into the gateway, all or those that are named: a test has to find each.
seeded *NAMES:
    tests/seeded/run {{ NAMES }}

# Bytes from outside, so many seconds for each target; with 0 only the corpora.
fuzz SECONDS="60" *TARGETS:
    fuzz/run {{ SECONDS }} {{ TARGETS }}

# Speed, on the machine as it is.
bench *ARGS:
    cargo bench {{ ARGS }}

# The long proof of exactly-once: the loop against 100,000 plans of faults, then the long runs, each within its time; an
# outage of a minute, and a partition of half a minute.
# `PROVE_SEED` repeats a run.
prove:
    PROPTEST_CASES=100000 cargo test --lib no_plan_of_faults
    cargo test --release --test prove --no-run
    timeout 45m cargo test --release --test prove -- --ignored --nocapture a_hundred_thousand
    timeout 15m cargo test --release --test prove -- --ignored --nocapture twenty_thousand
    timeout 15m cargo test --release --test prove -- --ignored --nocapture ten_thousand
    timeout 15m cargo test --release --test prove -- --ignored --nocapture an_outage_of_a_minute
    timeout 15m cargo test --release --test commands -- --ignored --nocapture a_partition_of_thirty_seconds
