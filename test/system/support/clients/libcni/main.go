// A container runtime of the smallest kind, on top of Debian's libcni:
//
//	runtime add|check|del|validate CONFLIST [NETNS CONTAINERID IFNAME]
//
// CNI_PATH: directories of plugins. CACHE: where results are kept. ARGS: "K=V;K=V". CAPABILITIES: a JSON object.
// Prints the result of ADD; errors go to standard error, exit code 1.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func argument(index int) string {
	if index >= len(os.Args) {
		return ""
	}
	return os.Args[index]
}

func runtimeConf() *libcni.RuntimeConf {
	conf := &libcni.RuntimeConf{NetNS: argument(3), ContainerID: argument(4), IfName: argument(5)}
	for _, pair := range strings.Split(os.Getenv("ARGS"), ";") {
		if key, value, found := strings.Cut(pair, "="); found {
			conf.Args = append(conf.Args, [2]string{key, value})
		}
	}
	if text := os.Getenv("CAPABILITIES"); text != "" {
		if err := json.Unmarshal([]byte(text), &conf.CapabilityArgs); err != nil {
			fail(err)
		}
	}
	return conf
}

func main() {
	list, err := libcni.ConfListFromFile(argument(2))
	if err != nil {
		fail(err)
	}
	cni := libcni.NewCNIConfigWithCacheDir(strings.Split(os.Getenv("CNI_PATH"), ":"), os.Getenv("CACHE"), nil)
	ctx := context.Background()
	switch verb := argument(1); verb {
	case "add":
		result, err := cni.AddNetworkList(ctx, list, runtimeConf())
		if err != nil {
			fail(err)
		}
		if err := result.Print(); err != nil {
			fail(err)
		}
	case "check":
		err = cni.CheckNetworkList(ctx, list, runtimeConf())
	case "del":
		err = cni.DelNetworkList(ctx, list, runtimeConf())
	case "validate":
		var capabilities []string
		if capabilities, err = cni.ValidateNetworkList(ctx, list); err == nil {
			fmt.Println(strings.Join(capabilities, " "))
		}
	default:
		err = fmt.Errorf("unknown verb %q", verb)
	}
	if err != nil {
		fail(err)
	}
}
