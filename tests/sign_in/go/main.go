// OCI's Go SDK signs in to the sandbox by each way that it knows, and makes a backup by each.
//
//	sign-in FILES CONTROL    the directory that `sandbox --write-config` wrote; the control address
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"
	"github.com/oracle/oci-go-sdk/v65/core"
)

func main() {
	files, control := os.Args[1], os.Args[2]
	ways := []struct {
		name      string
		variables string
		provider  func() (common.ConfigurationProvider, error)
	}{
		{"api_key", "security-token.env", func() (common.ConfigurationProvider, error) {
			return common.ConfigurationProviderFromFile(os.Getenv("OCI_CLI_CONFIG_FILE"), "")
		}},
		{"security_token", "security-token.env", func() (common.ConfigurationProvider, error) {
			file, profile := os.Getenv("OCI_CLI_CONFIG_FILE"), os.Getenv("OCI_CLI_PROFILE")
			return common.ConfigurationProviderFromFileWithProfile(file, profile, "")
		}},
		{"instance_principal", "instance-principal.env", func() (common.ConfigurationProvider, error) {
			return auth.InstancePrincipalConfigurationProvider()
		}},
		{"oke_workload_identity", "oke-workload-identity.env", func() (common.ConfigurationProvider, error) {
			// The variable is the CLI's; this SDK takes another file than the pod's from code only.
			path := os.Getenv("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH")
			account := auth.NewDefaultServiceAccountTokenProvider().WithSaTokenPath(path)
			return auth.OkeWorkloadIdentityConfigurationProviderWithServiceAccountTokenProvider(account)
		}},
		{"resource_principal, by paths", "resource-principal.env", func() (common.ConfigurationProvider, error) {
			return auth.ResourcePrincipalConfigurationProvider()
		}},
		{"resource_principal, by values", "resource-principal.env", func() (common.ConfigurationProvider, error) {
			for _, name := range []string{"OCI_RESOURCE_PRINCIPAL_RPST", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"} {
				value, err := os.ReadFile(os.Getenv(name))
				if err != nil {
					return nil, err
				}
				os.Setenv(name, string(value))
			}
			return auth.ResourcePrincipalConfigurationProvider()
		}},
		{"resource_principal, passphrase", "resource-principal.env", func() (common.ConfigurationProvider, error) {
			if err := encrypted(control); err != nil {
				return nil, err
			}
			return auth.ResourcePrincipalConfigurationProvider()
		}},
	}
	for number, way := range ways {
		read(filepath.Join(files, way.variables))
		provider, err := way.provider()
		if err != nil {
			fail(way.name, err)
		}
		id, err := backup(provider, fmt.Sprintf("ocid1.volume.oc1.iad.go%d", number))
		if err != nil {
			fail(way.name, err)
		}
		fmt.Printf("%-31s %s\n", way.name, id)
	}
}

// read takes the variables of a file of lines NAME=value, and drops those of the file before.
func read(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		fail(path, err)
	}
	for _, name := range []string{"OCI_CLI_CONFIG_FILE", "OCI_METADATA_BASE_URL", "OCI_SDK_AUTH_CLIENT_REGION_URL",
		"KUBERNETES_SERVICE_HOST", "OCI_RESOURCE_PRINCIPAL_VERSION"} {
		os.Unsetenv(name)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		name, value, _ := strings.Cut(line, "=")
		os.Setenv(name, value)
	}
}

// encrypted takes a session whose key needs a passphrase.
func encrypted(control string) error {
	wanted := `{"kind": "resource", "life_seconds": 600, "passphrase": "correct horse"}`
	answer, err := http.Post(control+"/sandbox/issuers/sessions", "application/json", strings.NewReader(wanted))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var session struct {
		Token string `json:"token"`
		Key   string `json:"private_key_pem"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&session); err != nil {
		return err
	}
	os.Setenv("OCI_RESOURCE_PRINCIPAL_RPST", session.Token)
	os.Setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", session.Key)
	os.Setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", "correct horse")
	return nil
}

func backup(provider common.ConfigurationProvider, volume string) (string, error) {
	client, err := core.NewBlockstorageClientWithConfigurationProvider(provider)
	if err != nil {
		return "", err
	}
	client.Host = os.Getenv("OCI_CLI_ENDPOINT")
	request := core.CreateVolumeBackupRequest{
		CreateVolumeBackupDetails: core.CreateVolumeBackupDetails{VolumeId: common.String(volume)},
	}
	response, err := client.CreateVolumeBackup(context.Background(), request)
	if err != nil {
		return "", err
	}
	return *response.VolumeBackup.Id, nil
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}
