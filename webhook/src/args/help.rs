//! What stands at the end of each help text: what the flags do not say, and examples. Paragraphs are one line here; they
//! are wrapped to the terminal's width.

pub(super) const TOP: &str = "\
Examples:
  spark-injector validate --from profiles/
  spark-injector inject --from profiles/ --namespace team-a -f driver.yaml
  spark-injector explain --namespace team-a --pod spark-pi-driver
  spark-injector check

Exit status:
  0  done
  1  a defect of this program
  2  unusable input or arguments, or the output cannot be written
  3  the webhook would deny the object, or a check failed";

pub(super) const INJECT: &str = "\
Pods, Lists, streams of documents, StatefulSets, Deployments, ReplicaSets (their pod template) and AdmissionReviews \
(answered with a review) are read; objects of other kinds pass through. Reasons and warnings go to the standard error.

Examples:
  spark-injector inject --from profiles/ --namespace team-a -f driver.yaml
  spark-injector inject --from profiles/ --namespace team-a -f driver.yaml -o diff
  kubectl get pod spark-pi-driver -o yaml | spark-injector inject --from profiles/ --namespace team-a
  spark-injector inject --from profiles/ -n team-a -f driver.yaml --with-secrets | kubectl apply -n team-a -f -

Exit status:
  0  injected, or nothing to do; an AdmissionReview was answered
  1  a defect of this program
  2  unusable input or arguments, or the output cannot be written
  3  denied: the reason is on the standard error, nothing on the standard output";

pub(super) const EXPLAIN: &str = "\
Without --from the cluster is asked, with the rights of whoever runs this: SparkProfiles, the namespace, and the sources \
as far as they may be read; what could not be read is named. Ends with 0 also where a pod would be denied: then the text \
says so and why.

Examples:
  spark-injector explain --namespace team-a --pod spark-pi-driver
  spark-injector explain --namespace team-a --running
  spark-injector explain --from profiles/ --namespace team-a -f driver.yaml
  kubectl get pod spark-pi-driver -o yaml | spark-injector explain --from profiles/ --namespace team-a -o json";

pub(super) const CHECK: &str = "\
Asks the API server with the rights of whoever runs it; nothing is stored: canary pods are dry runs. A broken link has its \
remedy below it; what needs rights that are missing, or cannot be told from here, is marked as not checked.

Examples:
  spark-injector check
  spark-injector check --namespace team-a -o json
  spark-injector check --kubeconfig admin.kubeconfig --context prod --own-namespace spark-injector

Exit status:
  0  every link that was checked holds
  1  a defect of this program
  2  unusable arguments or kubeconfig
  3  a link is broken";

pub(super) const VALIDATE: &str = "\
Prints one mistake per line, with file, object, field, what is wrong and what is allowed, and ends with 2 if there is any. Warnings \
name what is valid and hardly meant; they change no status.

Examples:
  spark-injector validate --from profiles/
  spark-injector validate --from profiles/ --from secrets.yaml --files-root /srv/files";

pub(super) const SECRETS: &str = "\
A profile with a mistake has no Secrets, and the others have theirs: it is named on the standard error, and the command \
ends with 2.

Examples:
  spark-injector secrets --from profiles/ | kubectl apply -f -
  spark-injector secrets --from profiles/ --namespace team-a -o json";

pub(super) const SERVE: &str = "\
Profiles, namespaces and sources come from the cluster, as the pod's service account or by --kubeconfig; with --from \
they come from files. Reviews are answered at POST /mutate and /isolate over TLS; /livez, /readyz and /metrics on the plain port of \
--admin. Once both listen (and files are compiled), one line of JSON on the standard output says where. Logs go to \
the standard error. SIGTERM drains, a second one ends at once.

Examples:
  spark-injector serve --admin 0.0.0.0:8080
  spark-injector serve --tls-cert tls.crt --tls-key tls.key --admin 0.0.0.0:8080
  spark-injector serve --kubeconfig ~/.kube/config --context test --listen 127.0.0.1:0 --tls-cert tls.crt --tls-key tls.key
  spark-injector serve --from profiles/ --listen 127.0.0.1:0 --tls-cert tls.crt --tls-key tls.key";

pub(super) const CRD: &str = "\
Examples:
  spark-injector crd | kubectl apply -f -";

pub(super) const COMPLETIONS: &str = "\
Examples:
  spark-injector completions bash > /etc/bash_completion.d/spark-injector
  spark-injector completions zsh > ~/.zfunc/_spark-injector";
