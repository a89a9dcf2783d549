//! The regions and realms that OCI's SDKs know (Python SDK 2.189.0, `oci/regions_definitions.py`).
//!
//! Nothing here follows a rule: oc2 and oc3 share a domain, oc19's ends in `.eu`, numbers are skipped, and a
//! short code need not be that of the region's own airport (`aga` is us-saltlake-2).

/// A realm: a set of regions with accounts of their own.
pub(super) struct Realm {
    pub(super) key: &'static str,
    /// What the SDKs call the second-level domain.
    pub(super) domain: &'static str,
    /// Each region's identifier and its short code.
    pub(super) regions: &'static [(&'static str, &'static str)],
}

#[rustfmt::skip]
pub(super) const REALMS: &[Realm] = &[
    Realm { key: "oc1", domain: "oraclecloud.com", regions: &[
        ("ap-chuncheon-1", "yny"), ("ap-hyderabad-1", "hyd"), ("ap-melbourne-1", "mel"),
        ("ap-mumbai-1", "bom"), ("ap-osaka-1", "kix"), ("ap-seoul-1", "icn"), ("ap-sydney-1", "syd"),
        ("ap-tokyo-1", "nrt"), ("ca-montreal-1", "yul"), ("ca-toronto-1", "yyz"), ("eu-amsterdam-1", "ams"),
        ("eu-frankfurt-1", "fra"), ("eu-zurich-1", "zrh"), ("me-jeddah-1", "jed"), ("me-dubai-1", "dxb"),
        ("sa-saopaulo-1", "gru"), ("uk-cardiff-1", "cwl"), ("uk-london-1", "lhr"), ("us-ashburn-1", "iad"),
        ("us-phoenix-1", "phx"), ("us-sanjose-1", "sjc"), ("sa-vinhedo-1", "vcp"), ("sa-santiago-1", "scl"),
        ("il-jerusalem-1", "mtz"), ("eu-marseille-1", "mrs"), ("ap-singapore-1", "sin"),
        ("me-abudhabi-1", "auh"), ("eu-milan-1", "lin"), ("eu-stockholm-1", "arn"),
        ("af-johannesburg-1", "jnb"), ("eu-paris-1", "cdg"), ("mx-queretaro-1", "qro"),
        ("eu-madrid-1", "mad"), ("us-chicago-1", "ord"), ("mx-monterrey-1", "mty"), ("us-saltlake-2", "aga"),
        ("sa-bogota-1", "bog"), ("sa-valparaiso-1", "vap"), ("ap-singapore-2", "xsp"), ("me-riyadh-1", "ruh"),
        ("ap-delhi-1", "onm"), ("ap-batam-1", "hsg"), ("eu-madrid-3", "orf"), ("eu-turin-1", "nrq"),
        ("ap-kulai-2", "jbp"), ("af-casablanca-1", "lej"),
    ] },
    Realm { key: "oc2", domain: "oraclegovcloud.com", regions: &[
        ("us-langley-1", "lfi"), ("us-luke-1", "luf"),
    ] },
    Realm { key: "oc3", domain: "oraclegovcloud.com", regions: &[
        ("us-gov-ashburn-1", "ric"), ("us-gov-chicago-1", "pia"), ("us-gov-phoenix-1", "tus"),
    ] },
    Realm { key: "oc4", domain: "oraclegovcloud.uk", regions: &[
        ("uk-gov-london-1", "ltn"), ("uk-gov-cardiff-1", "brs"),
    ] },
    Realm { key: "oc8", domain: "oraclecloud8.com", regions: &[
        ("ap-chiyoda-1", "nja"), ("ap-ibaraki-1", "ukb"),
    ] },
    Realm { key: "oc9", domain: "oraclecloud9.com", regions: &[
        ("me-dcc-muscat-1", "mct"), ("me-ibri-1", "ibr"),
    ] },
    Realm { key: "oc10", domain: "oraclecloud10.com", regions: &[("ap-dcc-canberra-1", "wga")] },
    Realm { key: "oc14", domain: "oraclecloud14.com", regions: &[
        ("eu-dcc-milan-1", "bgy"), ("eu-dcc-milan-2", "mxp"), ("eu-dcc-dublin-2", "snn"),
        ("eu-dcc-rating-2", "dtm"), ("eu-dcc-rating-1", "dus"), ("eu-dcc-dublin-1", "ork"),
    ] },
    Realm { key: "oc15", domain: "oraclecloud15.com", regions: &[("ap-dcc-gazipur-1", "dac")] },
    Realm { key: "oc19", domain: "oraclecloud.eu", regions: &[
        ("eu-madrid-2", "vll"), ("eu-frankfurt-2", "str"),
    ] },
    Realm { key: "oc20", domain: "oraclecloud20.com", regions: &[("eu-jovanovac-1", "beg")] },
    Realm { key: "oc21", domain: "oraclecloud21.com", regions: &[
        ("me-dcc-doha-1", "doh"), ("me-alrayyan-1", "vve"),
    ] },
    Realm { key: "oc23", domain: "oraclecloud23.com", regions: &[
        ("us-somerset-1", "ebb"), ("us-thames-1", "ebl"),
    ] },
    Realm { key: "oc24", domain: "oraclecloud24.com", regions: &[
        ("eu-dcc-zurich-1", "avz"), ("eu-crissier-1", "avf"),
    ] },
    Realm { key: "oc26", domain: "oraclecloud26.com", regions: &[
        ("me-abudhabi-3", "ahu"), ("me-alain-1", "rba"),
    ] },
    Realm { key: "oc29", domain: "oraclecloud29.com", regions: &[
        ("me-abudhabi-2", "rkt"), ("me-abudhabi-4", "shj"),
    ] },
    Realm { key: "oc35", domain: "oraclecloud35.com", regions: &[
        ("ap-seoul-2", "dtz"), ("ap-suwon-1", "dln"), ("ap-chuncheon-2", "bno"),
    ] },
    Realm { key: "oc42", domain: "oraclecloud42.com", regions: &[
        ("us-ashburn-2", "yxj"), ("us-newark-1", "pgc"),
    ] },
    Realm { key: "oc51", domain: "oraclecloud51.com", regions: &[("eu-budapest-1", "jsk")] },
    Realm { key: "oc52", domain: "oraclecloud52.com", regions: &[("sa-riodejaneiro-1", "hnw")] },
];
