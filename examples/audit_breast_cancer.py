"""Audit a network of one's own on the breast-cancer data, and write the report."""

import keras

import pellucid as pl

train, test = pl.data.load("breast-cancer", seed=0)

keras.utils.set_random_seed(0)
scale = keras.layers.Normalization()
scale.adapt(train.x)
network = keras.Sequential(
    [
        keras.Input((train.x.shape[1],)),
        scale,
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
network.compile(keras.optimizers.Adam(0.003), "binary_crossentropy")
network.fit(train.x, train.y, epochs=30, verbose=0)

audit = pl.audit(network, train=train, test=test, seed=0)
print(audit.sentence)
for finding in audit.findings:
    print(f"{finding.code} {finding.severity:8} {finding.title}: {finding.evidence}")
print(audit.save("reports/audit_breast_cancer") / "index.html")
