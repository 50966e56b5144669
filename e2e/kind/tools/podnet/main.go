// Command podnet is the pod network of a kind cluster made from packages.
//
// It runs once on every node (a DaemonSet with hostNetwork) and keeps three
// things true, all of them derived from the list of Node objects:
//
//   - this node has a CNI configuration that hands out addresses of its own
//     spec.podCIDR (written once; its presence makes the kubelet report Ready);
//   - this node has a route to every other node's podCIDR. Kind nodes share one
//     layer-2 docker network, so the next hop is simply the other node's address;
//   - traffic from pods to anything that is not a pod leaves with the node's
//     address (one nftables masquerade rule).
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	credentials = "/var/run/secrets/kubernetes.io/serviceaccount"
	cniConfig   = "/etc/cni/net.d/10-podnet.conflist"
	period      = 3 * time.Second
)

// nodeList is the part of a v1.NodeList that matters here.
type nodeList struct {
	Items []struct {
		Metadata struct{ Name string }
		Spec     struct{ PodCIDR string }
		Status   struct {
			Addresses []struct{ Type, Address string }
		}
	}
}

func main() {
	log.SetFlags(log.LstdFlags | log.Lmsgprefix)
	self, podSubnet := os.Getenv("NODE_NAME"), os.Getenv("POD_SUBNET")
	if self == "" || podSubnet == "" {
		log.Fatal("NODE_NAME and POD_SUBNET must be set")
	}
	if err := masquerade(podSubnet); err != nil {
		log.Fatalf("masquerade: %v", err)
	}
	client, err := apiClient()
	if err != nil {
		log.Fatal(err)
	}
	for last := ""; ; time.Sleep(period) {
		if err := sync(client, self); err == nil {
			last = ""
		} else if err.Error() != last { // say each trouble once, not every period
			last = err.Error()
			log.Print(last)
		}
	}
}

// sync brings the CNI configuration and the routes in line with the API's nodes.
func sync(client *http.Client, self string) error {
	nodes, err := listNodes(client)
	if err != nil {
		return err
	}
	for _, n := range nodes.Items {
		if n.Spec.PodCIDR == "" {
			continue // the controller manager has not given it one yet
		}
		if n.Metadata.Name == self {
			if err := writeCNI(n.Spec.PodCIDR); err != nil {
				return err
			}
			continue
		}
		_, dst, err := net.ParseCIDR(n.Spec.PodCIDR)
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Metadata.Name, err)
		}
		for _, a := range n.Status.Addresses {
			gw := net.ParseIP(a.Address)
			if a.Type != "InternalIP" || gw == nil || (gw.To4() == nil) != (dst.IP.To4() == nil) {
				continue
			}
			if err := netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: gw}); err != nil {
				return fmt.Errorf("route %s via %s: %w", dst, gw, err)
			}
		}
	}
	return nil
}

// writeCNI writes the CNI configuration, unless it is there already.
func writeCNI(podCIDR string) error {
	config := fmt.Sprintf(`{
  "cniVersion": "0.4.0",
  "name": "podnet",
  "plugins": [
    {"type": "ptp", "ipMasq": false,
     "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam",
              "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`, podCIDR)
	if old, err := os.ReadFile(cniConfig); err == nil && string(old) == config {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(cniConfig), ".podnet.tmp")
	if err := os.WriteFile(tmp, []byte(config), 0o644); err != nil {
		return err
	}
	log.Printf("writing %s for %s", cniConfig, podCIDR)
	return os.Rename(tmp, cniConfig)
}

// masquerade installs the one NAT rule, in a table of our own.
func masquerade(podSubnet string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`
table ip podnet
delete table ip podnet
table ip podnet {
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr %[1]s ip daddr != %[1]s masquerade
  }
}
`, podSubnet))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func apiClient() (*http.Client, error) {
	ca, err := os.ReadFile(filepath.Join(credentials, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
	}, nil
}

func listNodes(client *http.Client) (*nodeList, error) {
	// kind adds CONTROL_PLANE_ENDPOINT (name:port, known before kube-proxy runs);
	// without it, use the service address like any other pod.
	host := os.Getenv("CONTROL_PLANE_ENDPOINT")
	if host == "" {
		host = net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	}
	token, err := os.ReadFile(filepath.Join(credentials, "token")) // rotated: read again each time
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, "https://"+host+"/api/v1/nodes?resourceVersion=0", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("listing nodes: %s", resp.Status)
	}
	var list nodeList
	return &list, json.NewDecoder(resp.Body).Decode(&list)
}
