"""The table of contents: every verb, its module and its one line, in the order a newcomer meets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: the words that select it, the module that runs it, and what it does in one line."""

    words: str
    module: str
    summary: str


CONTENTS: tuple[tuple[str, tuple[Verb, ...]], ...] = (
    (
        "See it work",
        (Verb("demo", "demo", "run owner, platform, broker, two replicas and a client here, and attack them"),),
    ),
    (
        "Own models and keys",
        (
            Verb("init", "init", "make a workspace: CA, signing key, key store, policy, ledger"),
            Verb("model convert", "model_convert", "turn a model into a SavedModel or ONNX, and prove the result"),
            Verb("model publish", "model_publish", "seal and sign a model version for machines you do not trust"),
            Verb("certs one-way", "certs_one_way", "write a server's TLS set in the ssl_configure layout"),
            Verb("certs two-way", "certs_two_way", "write server and client TLS sets in the ssl_configure layout"),
            Verb("certs import", "certs_import", "check and take over an existing ssl_configure folder"),
            Verb("keys generate", "keys_generate", "make a queue's certificates and Java key stores, or renew them"),
            Verb("keys password", "keys_password", "seal the key stores' password for a cluster"),
            Verb("keys open", "keys_open", "open a part's keys where it runs and has proved itself, then run it"),
            Verb("measure", "measure", "print mr_enclave, mr_signer and ids of a .sig or an expanded manifest"),
            Verb("manifest lint", "manifest_lint", "find what weakens a Gramine manifest, before it is signed"),
            Verb("policy trust", "policy_trust", "write the rule that releases a secret to a measured build"),
            Verb("policy import", "policy_import", "turn a ra_config.json into rules, strictly"),
            Verb("policy lint", "policy_lint", "check a policy file and say in sentences what it admits"),
            Verb("policy show", "policy_show", "print every word of the policy in force, defaults spelled out"),
            Verb("policy test", "policy_test", "show what a policy decides on evidence, with reasons"),
            Verb("policy diff", "policy_diff", "say what a new policy newly admits or refuses; 5 if it admits more"),
            Verb("policy propose", "policy_propose", "make a file the policy, at once or once its owners have signed"),
            Verb("policy approve", "policy_approve", "look at a proposed policy and sign it as an owner"),
            Verb("policy history", "policy_history", "list the versions of a policy, or say what one changed"),
            Verb("broker serve", "broker_serve", "release keys to attested code, over Gramine's protocol and KBS"),
            Verb("broker backup", "broker_backup", "write the broker's store to one file, while brokers go on"),
            Verb("broker restore", "broker_restore", "fill an empty store with a backup, once it has been checked"),
            Verb("broker migrate", "broker_migrate", "move the store to PostgreSQL, where several brokers share it"),
            Verb("key list", "key_list", "list secrets: kind, version, state, age, never a value"),
            Verb("key put", "key_put", "keep a secret that was made elsewhere"),
            Verb("key create", "key_create", "make a random secret that nobody has seen"),
            Verb("key export", "key_export", "write a secret into a file of its own (0600)"),
            Verb("key rotate", "key_rotate", "make a new version of a secret, or a new key for a tenant"),
            Verb("key retire", "key_retire", "give a secret out no more"),
            Verb("key destroy", "key_destroy", "erase a secret for ever"),
            Verb("key rewrap", "key_rewrap", "bring the store under a new root key: file, token, key service"),
            Verb("key protect", "key_protect", "put the root key under a passphrase, or change that"),
            Verb("key shares", "key_shares", "split the root key into recovery shares, m of n"),
            Verb("key recover", "key_recover", "bring the root key back from recovery shares"),
            Verb("ledger show", "ledger_show", "print the broker's decisions with their reasons"),
            Verb("ledger verify", "ledger_verify", "check that no line of the ledger was removed or changed"),
            Verb("ledger prove", "ledger_prove", "prove to an outsider that one line is in the ledger"),
            Verb("ledger export", "ledger_export", "write the ledger and its public key out for auditors"),
            Verb("ledger witness", "ledger_witness", "remember and cosign the ledger's newest checkpoint elsewhere"),
        ),
    ),
    (
        "Administer a broker (here, or over mutual TLS with --broker and --identity)",
        (
            Verb("broker status", "broker_status", "say what the broker stands on and how much there is"),
            Verb("broker leases", "broker_leases", "list who holds which secret until when, or end a lease"),
            Verb("broker revoke", "broker_revoke", "release nothing more to a measurement, platform, key or model"),
            Verb("broker lift", "broker_lift", "take a revocation back"),
            Verb("broker revocations", "broker_revocations", "list what is revoked"),
            Verb("broker floor", "broker_floor", "list the models' floors, or raise one: old versions stay away"),
            Verb("broker login", "broker_login", "print an address that opens the console once"),
            Verb("broker admin add", "broker_admin_add", "make a person's certificate and register it with a role"),
            Verb("broker admin list", "broker_admin_list", "list who may administer"),
            Verb("broker admin suspend", "broker_admin_suspend", "refuse a person's certificate for now"),
            Verb("broker admin resume", "broker_admin_resume", "take a suspended certificate again"),
            Verb("broker admin remove", "broker_admin_remove", "refuse a person's certificate for ever"),
            Verb("tenant create", "tenant_create", "make a tenant with policy, keys and leases of its own"),
            Verb("tenant list", "tenant_list", "list the tenants"),
            Verb("tenant suspend", "tenant_suspend", "release nothing to a tenant's replicas"),
            Verb("tenant resume", "tenant_resume", "release to them again"),
            Verb("tenant policy", "tenant_policy", "show, change and compare a tenant's policy"),
        ),
    ),
    (
        "Run replicas",
        (
            Verb("platform", "platform", "say what this machine can vouch with, what is missing, what to do"),
            Verb("sim init", "sim_init", "create a simulated platform: its root, PCK chain and collateral"),
            Verb("sim measure", "sim_measure", "print the measurement a manifest would launch with"),
            Verb("sim run", "sim_run", "measure a program, start it, and quote for it (simulated platform)"),
            Verb("sim collateral", "sim_collateral", "write the simulated platform's root and fresh collateral"),
            Verb("sim attestation-service", "sim_attestation_service", "run a local double of MAA and Trust Authority"),
            Verb("serve", "serve", "serve models over TensorFlow Serving's gRPC and REST, with TLS"),
            Verb("kbs get", "kbs_get", "take one secret from a key broker (KBS), proving what runs here"),
        ),
    ),
    (
        "Deploy",
        (
            Verb(
                "deploy render", "deploy_render", "write manifests, chart, container files and fronts of a deployment"
            ),
            Verb(
                "deploy build", "deploy_build", "build, look through, measure, push and pin the images of a deployment"
            ),
            Verb("deploy lint", "deploy_lint", "find what makes Kubernetes manifests dangerous: these, or anybody's"),
            Verb("deploy apply", "deploy_apply", "bring a cluster to what is described, and wait for the replicas"),
            Verb("deploy status", "deploy_status", "show each replica with its trust, and why one is not ready"),
            Verb("deploy scale", "deploy_scale", "run N replicas, each of which proves itself"),
            Verb("deploy rollout", "deploy_rollout", "bring a new version in, prove the old one out; or go back"),
            Verb("deploy doctor", "deploy_doctor", "say what a cluster lacks for this deployment, each with a fix"),
            Verb("deploy delete", "deploy_delete", "take a deployment out of its cluster"),
            Verb(
                "deploy metrics-adapter",
                "deploy_metrics_adapter",
                "tell Kubernetes' autoscaler how busy all replicas are",
            ),
            Verb("deploy import", "deploy_import", "take over deploy.yaml, ra_config.json, ssl_configure, wrap_key"),
        ),
    ),
    (
        "Queue",
        (
            Verb("queue up", "queue_up", "run a queue here with one command: Redis with TLS, workers, HTTP front"),
            Verb("queue serve", "queue_serve", "work on a queue: take records, run the model, write results"),
            Verb("queue status", "queue_status", "say whether a queue works, what waits and who works on it"),
            Verb("queue dead", "queue_dead", "look at records that no worker could finish; try again, or drop them"),
            Verb("queue down", "queue_down", "end what queue up --detach has started"),
            Verb("queue send", "queue_send", "send images and tensors to a queue, and print their results"),
            Verb("queue bench", "queue_bench", "measure a queue from end to end, with the lines of e2e_throughput.py"),
            Verb("queue key", "queue_key", "make or rotate the key that records are sealed to, and its public file"),
            Verb("queue seal", "queue_seal", "seal a worker's password or TLS key for attested workers alone"),
            Verb("queue redis", "queue_redis", "run a queue's Redis in its pod, under the keys of its part"),
            Verb("queue chart", "queue_chart", "write the Helm chart of a queue, with its values"),
            Verb("queue frontend", "queue_frontend", "answer HTTPS requests by a queue or a model server"),
            Verb("queue flink", "queue_flink", "work on a queue as a job of a Flink cluster"),
            Verb("flink up", "flink_up", "start a Flink cluster here, with TLS and certificates on every port"),
            Verb("flink run", "flink_run", "run a JAR or a Python program on a Flink cluster, here or elsewhere"),
            Verb("flink status", "flink_status", "show a Flink cluster's task managers, jobs and checkpoints"),
            Verb("flink page", "flink_page", "show Flink's web page in a browser, over TLS and after a login"),
            Verb("flink down", "flink_down", "end the Flink cluster of flink up, and remove its keys"),
            Verb("flink part", "flink_part", "run a job manager or task manager of Flink in its pod"),
            Verb("flink master", "flink_master", "keep a queue's job on a Flink cluster, and answer probes"),
            Verb("flink install", "flink_install", "install Apache Flink into an environment of its own"),
        ),
    ),
    (
        "Analytics",
        (
            Verb("data key", "data_key", "make a primary key that data is sealed under, or rotate it"),
            Verb("data seal", "data_seal", "seal files for machines you do not trust, as a data set"),
            Verb("data open", "data_open", "open a sealed data set into a folder of plain files"),
            Verb("data inspect", "data_inspect", "say what a sealed data set is, or check all of it"),
            Verb("data rekey", "data_rekey", "bring a data set under another key, or seal it anew"),
            Verb("spark preflight", "spark_preflight", "say what this machine lacks for trusted Spark, with remedies"),
            Verb("spark warm-up", "spark_warm_up", "keep Spark's classes ready: drivers on this machine start sooner"),
            Verb("spark example", "spark_example", "run the examples of trusted analytics, and check what they print"),
            Verb("spark submit", "spark_submit", "run a Spark program, all of it encrypted, keys for attested parts"),
            Verb("spark report", "spark_report", "tell what a job did, and check what its outputs came from"),
            Verb("spark history", "spark_history", "show jobs that are over in Spark's history server, over TLS"),
            Verb("spark cluster up", "spark_cluster_up", "start a Spark cluster here whose processes prove themselves"),
            Verb("spark cluster status", "spark_cluster_status", "show a Spark cluster and who was admitted to it"),
            Verb("spark cluster down", "spark_cluster_down", "end the Spark cluster of spark cluster up"),
            Verb("spark chart", "spark_chart", "write a Spark job for Kubernetes: Helm chart and plain manifests"),
            Verb("spark jar", "spark_jar", "write the jar by which any Spark reads our encrypted Parquet"),
            Verb("spark agent", "spark_agent", "prove a process of Spark, hold its keys and run it"),
        ),
    ),
    (
        "Use a model",
        (
            Verb("predict", "predict", "ask a model, over TLS, and say what was proved"),
            Verb("bench", "bench", "measure a server with the reference client's flags and lines"),
        ),
    ),
    (
        "Sealed files (Gramine's encrypted-file format)",
        (
            Verb("file encrypt", "file_encrypt", "seal a file under a 16-byte wrap key, path bound"),
            Verb("file decrypt", "file_decrypt", "open a sealed file; nothing is left behind on failure"),
            Verb("file inspect", "file_inspect", "show what a sealed file says about itself"),
            Verb("file verify", "file_verify", "check every node without writing plaintext"),
            Verb("file rekey", "file_rekey", "move a sealed file to another wrap key"),
            Verb("file rename", "file_rename", "rewrite the path that a sealed file is bound to"),
            Verb("file pin", "file_pin", "print the hash that identifies an exact file version"),
        ),
    ),
    (
        "Evidence",
        (
            Verb("quote verify", "quote_verify", "verify an SGX or TDX quote against collateral, at a given time"),
            Verb("quote inspect", "quote_inspect", "show any quote as a tree with meaning, without judging it"),
            Verb("ratls verify", "ratls_verify", "say what a server's RA-TLS certificate proves, live"),
            Verb("token fetch", "token_fetch", "ask an attestation service for a token about a quote"),
            Verb("token verify", "token_verify", "verify an attestation token (MAA, ITA), and judge it by a policy"),
        ),
    ),
    (
        "Collateral",
        (
            Verb("collateral fetch", "collateral_fetch", "fetch a platform's collateral from Intel, a PCCS or a cloud"),
            Verb("collateral show", "collateral_show", "show what a file or the cache holds, and for how long"),
            Verb("collateral doctor", "collateral_doctor", "check sources, cache and clocks, each with a fix"),
            Verb(
                "pccs serve", "pccs_serve", "serve Intel's certification API here: a simulated platform's, or recorded"
            ),
            Verb(
                "pccs fill",
                "pccs_fill",
                "fetch collateral ahead of need, and write it out for machines without network",
            ),
            Verb("pccs token", "pccs_token", "make a token for registering machines or filling the local PCCS"),
        ),
    ),
    (
        "Help",
        (
            Verb("doctor", "doctor", "check a whole set-up and print what to do, from certificates to the ledger"),
            Verb("explain", "explain", "say what an error code means and what to do"),
        ),
    ),
)


def verbs() -> dict[str, Verb]:
    """Return every verb by its words."""
    return {verb.words: verb for _, chapter in CONTENTS for verb in chapter}
