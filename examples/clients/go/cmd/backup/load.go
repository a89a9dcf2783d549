package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/backup"
	ocibackupv1 "github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/gen/ocibackup/v1"
)

// Many calls, each with a volume and a token of its own.
type load struct {
	RPC       string `json:"rpc"`
	Prefix    string `json:"prefix"`
	Calls     int64  `json:"calls"`
	ForMs     int64  `json:"forMs"`
	AtOnce    int    `json:"atOnce"`
	TimeoutMs int64  `json:"timeoutMs"`
}

// What became of a load.
type summary struct {
	Calls        int            `json:"calls"`
	Codes        map[string]int `json:"codes"`
	FirstFailure string         `json:"firstFailure,omitempty"`
	Seconds      float64        `json:"seconds"`
	MedianMs     float64        `json:"medianMs"`
	Backups      int            `json:"backups"`
}

func (l load) run(client *backup.Client) (summary, error) {
	if (l.Calls > 0) == (l.ForMs > 0) || l.AtOnce < 1 {
		return summary{}, errors.New("a load has calls or forMs, and atOnce")
	}
	if l.RPC != "CreateVolumeBackup" && l.RPC != "CreateBootVolumeBackup" {
		return summary{}, fmt.Errorf("no such rpc: %q", l.RPC)
	}
	if l.TimeoutMs == 0 {
		l.TimeoutMs = 30_000
	}
	var next atomic.Int64
	var guard sync.Mutex
	var workers sync.WaitGroup
	told, ids, took := summary{Codes: map[string]int{}}, map[string]bool{}, []time.Duration{}
	began := time.Now()
	for range l.AtOnce {
		workers.Go(func() {
			for {
				n := next.Add(1) - 1
				if l.Calls > 0 && n >= l.Calls || l.ForMs > 0 && time.Since(began) >= milliseconds(l.ForMs) {
					return
				}
				start := time.Now()
				id, err := l.call(client, n)
				lasted := time.Since(start)

				guard.Lock()
				took = append(took, lasted)
				var failure *backup.Failure
				if errors.As(err, &failure) {
					told.Codes[failure.CodeName()]++
					if told.FirstFailure == "" {
						told.FirstFailure = failure.Words
					}
				} else {
					told.Codes["OK"]++
					ids[id] = true
				}
				guard.Unlock()
			}
		})
	}
	workers.Wait()
	told.Calls, told.Backups, told.Seconds = len(took), len(ids), time.Since(began).Seconds()
	if len(took) > 0 {
		slices.Sort(took)
		told.MedianMs = took[len(took)/2].Seconds() * 1000
	}
	return told, nil
}

// The nth call, and the id of the backup that it made.
func (l load) call(client *backup.Client, n int64) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), milliseconds(l.TimeoutMs))
	defer cancel()
	token := fmt.Sprintf("%s-%d", l.Prefix, n)
	if l.RPC == "CreateVolumeBackup" {
		response, _, err := client.CreateVolumeBackup(ctx, &ocibackupv1.CreateVolumeBackupRequest{
			VolumeId:   fmt.Sprintf("ocid1.volume.oc1.iad.%s%d", l.Prefix, n),
			RetryToken: proto.String(token),
		})
		return response.GetVolumeBackup().GetId(), err
	}
	response, _, err := client.CreateBootVolumeBackup(ctx, &ocibackupv1.CreateBootVolumeBackupRequest{
		BootVolumeId: fmt.Sprintf("ocid1.bootvolume.oc1.iad.%s%d", l.Prefix, n),
		RetryToken:   proto.String(token),
	})
	return response.GetBootVolumeBackup().GetId(), err
}
