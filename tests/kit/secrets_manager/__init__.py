"""AWS Secrets Manager: one model of its rules, and two fronts of it.

`rules.SecretVersions` is the model. `server.SecretsManager` speaks the service's JSON 1.1 protocol on loopback;
tests/simulation/secrets_manager.py has botocore's methods in process, with a clock of its own and stale reads.
tests/contract/test_token_store.py holds both, and the service itself where there is one, to the same behaviour.

Behaviour follows the API reference of each operation
(https://docs.aws.amazon.com/secretsmanager/latest/apireference/) where emulators differ from it:

- PutSecretValue is idempotent on its ClientRequestToken: the same content again is a no-op, other content is a
  ResourceExistsException. It attaches the labels asked for, taking them from whichever version held them, and
  AWSCURRENT when none is asked for. The first version of a secret always gets AWSCURRENT.
- UpdateSecretVersionStage fails while another version holds the label, unless RemoveFromVersionId names that
  holder.
- Moving AWSCURRENT moves AWSPREVIOUS to the version it came from; AWSCURRENT cannot be taken off altogether.
- A version that loses its last label is deprecated: listed only with IncludeDeprecated, pruned past 100 versions
  once it is a day old. If more than 100 would be left, the write is a LimitExceededException: AWS documents the
  number and that younger ones are not pruned, and the strictest reading of both is this.

Known to differ: no KMS (a denial is scripted), no rate limits of its own, no binary values, deletion, replication,
rotation or resource policies; a write is seen by every later read unless a stale one is asked for; pruning happens
in the write that needs the room, where AWS does it some time later.
"""
