// The injection as most people would write it in Go: decode the pod, change it, marshal it, and let
// controller-runtime work out the patch. Reference of `make bench`.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// What is added to a pod; the same fields and values that the other side adds.
type addition struct {
	Labels         map[string]string    `json:"labels"`
	Annotations    map[string]string    `json:"annotations"`
	NodeSelector   map[string]string    `json:"nodeSelector"`
	InitContainers []corev1.Container   `json:"initContainers"`
	Volumes        []corev1.Volume      `json:"volumes"`
	Tolerations    []corev1.Toleration  `json:"tolerations"`
	HostAliases    []corev1.HostAlias   `json:"hostAliases"`
	DNSConfig      *corev1.PodDNSConfig `json:"dnsConfig"`
	Env            []corev1.EnvVar      `json:"env"`
	VolumeMounts   []corev1.VolumeMount `json:"volumeMounts"`
}

type injector struct {
	decoder  admission.Decoder
	addition addition
}

func (i *injector) Handle(ctx context.Context, req admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := i.decoder.Decode(req, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if pod.Labels["spark-role"] != "executor" {
		return admission.Allowed("not a Spark executor")
	}
	i.inject(pod)
	changed, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	ctrl.LoggerFrom(ctx).Info("injected", "uid", req.UID, "pod", req.Name)
	return admission.PatchResponseFromRaw(req.Object.Raw, changed)
}

func (i *injector) inject(pod *corev1.Pod) {
	added := i.addition.deepCopy()
	pod.Labels = union(pod.Labels, added.Labels)
	pod.Annotations = union(pod.Annotations, added.Annotations)
	spec := &pod.Spec
	spec.NodeSelector = union(spec.NodeSelector, added.NodeSelector)
	spec.InitContainers = append(added.InitContainers, spec.InitContainers...)
	spec.Volumes = append(spec.Volumes, added.Volumes...)
	spec.Tolerations = append(spec.Tolerations, added.Tolerations...)
	spec.HostAliases = append(spec.HostAliases, added.HostAliases...)
	if spec.DNSConfig == nil {
		spec.DNSConfig = added.DNSConfig
	}
	for index := range spec.Containers {
		container := &spec.Containers[index]
		if len(container.Args) > 0 && container.Args[0] == "executor" {
			container.Env = append(container.Env, added.Env...)
			container.VolumeMounts = append(container.VolumeMounts, added.VolumeMounts...)
		}
	}
}

// Strings are shared, as in any Go program; only what a pod could change is copied.
func (a *addition) deepCopy() addition {
	copied := *a
	copied.DNSConfig = a.DNSConfig.DeepCopy()
	copied.InitContainers = append([]corev1.Container(nil), a.InitContainers...)
	return copied
}

func union(into, from map[string]string) map[string]string {
	if into == nil && len(from) > 0 {
		into = make(map[string]string, len(from))
	}
	for key, value := range from {
		if _, present := into[key]; !present {
			into[key] = value
		}
	}
	return into
}

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	certificates := flag.String("certificates", "", "directory with tls.crt and tls.key")
	file := flag.String("addition", "", "JSON file with what is added")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := serve(*port, *certificates, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(port int, certificates, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	handler := &injector{decoder: admission.NewDecoder(scheme)}
	if err := json.Unmarshal(text, &handler.addition); err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: certificates})
	server.Register("/mutate", &webhook.Admission{Handler: handler})
	return server.Start(ctrl.SetupSignalHandler())
}
