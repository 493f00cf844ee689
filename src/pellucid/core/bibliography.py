"""The papers behind the methods, by the keys that the registry uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from pellucid.core.registry import unknown
from pellucid.errors import UnknownName


class Paper(NamedTuple):
    """One paper: authors as "Family, Given", joined by " and "; a DOI, an arXiv id, or an address."""

    key: str
    authors: str
    year: int
    title: str
    venue: str
    doi: str = ""
    arxiv: str = ""
    url: str = ""

    @property
    def names(self) -> str:
        """The authors as a citation names them: "Sundararajan et al.", "Geifman and El-Yaniv"."""
        families = [author.split(",")[0] for author in self.authors.split(" and ")]
        if len(families) > 2:
            return f"{families[0]} et al."
        return " and ".join(families)

    @property
    def identifier(self) -> str:
        """`doi:...` or `arXiv:...`; the bare address where there is neither."""
        if self.doi:
            return f"doi:{self.doi}"
        return f"arXiv:{self.arxiv}" if self.arxiv else self.url

    @property
    def address(self) -> str:
        """Where the paper can be read."""
        if self.doi:
            return "https://doi.org/" + quote(self.doi, safe="/:;()")
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    def __str__(self) -> str:
        return f"{self.names} ({self.year}). {self.title}. {self.venue}. {self.identifier}"

    def bibtex(self) -> str:
        """The BibTeX entry."""
        fields = {
            "author": self.authors, "title": f"{{{self.title}}}", "year": str(self.year), "howpublished": self.venue,
            "doi": self.doi, "eprint": self.arxiv, "archiveprefix": "arXiv" if self.arxiv else "", "url": self.address,
        }  # fmt: skip
        told = {name: value if name in {"doi", "url"} else value.replace("&", r"\&") for name, value in fields.items()}
        lines = [f"  {name} = {{{value}}}," for name, value in told.items() if value]
        return "\n".join([f"@misc{{{self.key},", *lines, "}"])


PAPERS = {
    paper.key: paper
    for paper in (
        Paper("abnar2020", "Abnar, Samira and Zuidema, Willem", 2020, "Quantifying Attention Flow in Transformers", "ACL 2020", doi="10.18653/v1/2020.acl-main.385", arxiv="2005.00928"),
        Paper("achtibat2024", "Achtibat, Reduan and Hatefi, Sayed Mohammad Vakilzadeh and Dreyer, Maximilian and Jain, Aakriti and Wiegand, Thomas and Lapuschkin, Sebastian and Samek, Wojciech", 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers", "ICML 2024", arxiv="2402.05602"),
        Paper("adebayo2018", "Adebayo, Julius and Gilmer, Justin and Muelly, Michael and Goodfellow, Ian and Hardt, Moritz and Kim, Been", 2018, "Sanity Checks for Saliency Maps", "NeurIPS 2018", arxiv="1810.03292"),
        Paper("adebayolocal2018", "Adebayo, Julius and Gilmer, Justin and Goodfellow, Ian and Kim, Been", 2018, "Local explanation methods for deep neural networks lack sensitivity to parameter values", "ICLR workshop", arxiv="1810.03307"),
        Paper("ali2022", "Ali, Ameen and Schnake, Thomas and Eberle, Oliver and Montavon, Grégoire and Müller, Klaus-Robert and Wolf, Lior", 2022, "XAI for Transformers: Better Explanations through Conservative Propagation", "ICML 2022", arxiv="2202.07304"),
        Paper("ancona2018", "Ancona, Marco and Ceolini, Enea and Öztireli, Cengiz and Gross, Markus", 2018, "Towards Better Understanding of Gradient-based Attribution Methods for Deep Neural Networks", "ICLR 2018", arxiv="1711.06104"),
        Paper("andeol2021", "Andéol, Léo and Kawakami, Yusei and Wada, Yuichiro and Kanamori, Takafumi and Müller, Klaus-Robert and Montavon, Grégoire", 2021, "Learning Domain Invariant Representations by Joint Wasserstein Distance Minimization", "arXiv preprint", arxiv="2106.04923"),
        Paper("andriushchenko2020", "Andriushchenko, Maksym and Croce, Francesco and Flammarion, Nicolas and Hein, Matthias", 2020, "Square Attack: a query-efficient black-box adversarial attack via random search", "ECCV 2020", arxiv="1912.00049"),
        Paper("angelopoulos2023", "Angelopoulos, Anastasios N. and Bates, Stephen", 2023, "Conformal Prediction: A Gentle Introduction", "Foundations and Trends in Machine Learning 16(4):494-591", doi="10.1561/2200000101", arxiv="2107.07511"),
        Paper("arjovsky2019", "Arjovsky, Martin and Bottou, Léon and Gulrajani, Ishaan and Lopez-Paz, David", 2019, "Invariant Risk Minimization", "arXiv", arxiv="1907.02893"),
        Paper("arpit2017", "Arpit, Devansh and Jastrzębski, Stanisław and Ballas, Nicolas and Krueger, David and Bengio, Emmanuel and Kanwal, Maxinder S. and Maharaj, Tegan and Fischer, Asja and Courville, Aaron and Bengio, Yoshua and Lacoste-Julien, Simon", 2017, "A Closer Look at Memorization in Deep Networks", "ICML 2017", arxiv="1706.05394"),
        Paper("arras2017", "Arras, Leila and Montavon, Grégoire and Müller, Klaus-Robert and Samek, Wojciech", 2017, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis", "WASSA 2017", arxiv="1706.07206"),
        Paper("arras2019", "Arras, Leila and Arjona-Medina, José and Widrich, Michael and Montavon, Grégoire and Gillhofer, Michael and Müller, Klaus-Robert and Hochreiter, Sepp and Samek, Wojciech", 2019, "Explaining and Interpreting LSTMs", "Explainable AI, LNCS 11700, 211-238", doi="10.1007/978-3-030-28954-6_11", arxiv="1909.12114"),
        Paper("athalye2018", "Athalye, Anish and Carlini, Nicholas and Wagner, David", 2018, "Obfuscated Gradients Give a False Sense of Security: Circumventing Defenses to Adversarial Examples", "ICML 2018", arxiv="1802.00420"),
        Paper("attanasio2022", "Attanasio, Giuseppe and Nozza, Debora and Hovy, Dirk and Baralis, Elena", 2022, "Entropy-Based Attention Regularization Frees Unintended Bias Mitigation from Lists", "Findings of ACL 2022", arxiv="2203.09192"),
        Paper("bach2015", "Bach, Sebastian and Binder, Alexander and Montavon, Grégoire and Klauschen, Frederick and Müller, Klaus-Robert and Samek, Wojciech", 2015, "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation", "PLOS ONE 10(7):e0130140", doi="10.1371/journal.pone.0130140"),
        Paper("bahdanau2015", "Bahdanau, Dzmitry and Cho, Kyunghyun and Bengio, Yoshua", 2015, "Neural Machine Translation by Jointly Learning to Align and Translate", "ICLR 2015", arxiv="1409.0473"),
        Paper("bahri2022", "Bahri, Dara and Jiang, Heinrich and Tay, Yi and Metzler, Donald", 2022, "SCARF: Self-Supervised Contrastive Learning using Random Feature Corruption", "ICLR 2022", arxiv="2106.15147"),
        Paper("bansal2018", "Bansal, Nitin and Chen, Xiaohan and Wang, Zhangyang", 2018, "Can We Gain More from Orthogonality Regularizations in Training Deep Networks?", "NeurIPS 2018", arxiv="1810.09102"),
        Paper("bartlett2017", "Bartlett, Peter L. and Foster, Dylan J. and Telgarsky, Matus", 2017, "Spectrally-normalized Margin Bounds for Neural Networks", "NeurIPS 2017", arxiv="1706.08498"),
        Paper("barz2020", "Barz, Björn and Denzler, Joachim", 2020, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", "Journal of Imaging 6(6):41", doi="10.3390/jimaging6060041", arxiv="1902.00423"),
        Paper("belinkov2018", "Belinkov, Yonatan and Bisk, Yonatan", 2018, "Synthetic and Natural Noise Both Break Neural Machine Translation", "ICLR 2018", arxiv="1711.02173"),
        Paper("benjamini1995", "Benjamini, Yoav and Hochberg, Yosef", 1995, "Controlling the False Discovery Rate: A Practical and Powerful Approach to Multiple Testing", "Journal of the Royal Statistical Society B 57(1):289-300", doi="10.1111/j.2517-6161.1995.tb02031.x"),
        Paper("bhojanapalli2021", "Bhojanapalli, Srinadh and Wilber, Kimberly and Veit, Andreas and Rawat, Ankit Singh and Kim, Seungyeon and Menon, Aditya and Kumar, Sanjiv", 2021, "On the Reproducibility of Neural Network Predictions", "arXiv preprint", arxiv="2102.03349"),
        Paper("bishop1995", "Bishop, Christopher M.", 1995, "Training with Noise is Equivalent to Tikhonov Regularization", "Neural Computation 7(1):108-116", doi="10.1162/neco.1995.7.1.108"),
        Paper("bonett2000", "Bonett, Douglas G. and Wright, Thomas A.", 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations", "Psychometrika 65(1), 23-28", doi="10.1007/BF02294183"),
        Paper("bouthillier2021", "Bouthillier, Xavier and Delaunay, Pierre and Bronzi, Mirko and Trofimov, Assya and Nichyporuk, Brennan and Szeto, Justin and Sepah, Naz and Raff, Edward and Madan, Kanika and Voleti, Vikram and Kahou, Samira Ebrahimi and Michalski, Vincent and Serdyuk, Dmitriy and Arbel, Tal and Pal, Chris and Varoquaux, Gaël and Vincent, Pascal", 2021, "Accounting for Variance in Machine Learning Benchmarks", "MLSys 2021", arxiv="2103.03098"),
        Paper("brier1950", "Brier, Glenn W.", 1950, "Verification of Forecasts Expressed in Terms of Probability", "Monthly Weather Review 78(1):1-3", doi="10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"),
        Paper("broecker2007", "Bröcker, Jochen and Smith, Leonard A.", 2007, "Increasing the Reliability of Reliability Diagrams", "Weather and Forecasting 22(3):651-661", doi="10.1175/WAF993.1"),
        Paper("buolamwini2018", "Buolamwini, Joy and Gebru, Timnit", 2018, "Gender Shades: Intersectional Accuracy Disparities in Commercial Gender Classification", "FAT* 2018, PMLR 81:77-91", url="https://proceedings.mlr.press/v81/buolamwini18a.html"),
        Paper("carlini2022", "Carlini, Nicholas and Chien, Steve and Nasr, Milad and Song, Shuang and Terzis, Andreas and Tramer, Florian", 2022, "Membership Inference Attacks From First Principles", "IEEE Symposium on Security and Privacy 2022", doi="10.1109/SP46214.2022.9833649", arxiv="2112.03570"),
        Paper("castro2009", "Castro, Javier and Gómez, Daniel and Tejada, Juan", 2009, "Polynomial Calculation of the Shapley Value Based on Sampling", "Computers & Operations Research 36(5):1726-1730", doi="10.1016/j.cor.2008.04.004"),
        Paper("cawley2010", "Cawley, Gavin C. and Talbot, Nicola L. C.", 2010, "On Over-fitting in Model Selection and Subsequent Selection Bias in Performance Evaluation", "Journal of Machine Learning Research 11:2079-2107", url="https://jmlr.org/papers/v11/cawley10a.html"),
        Paper("chattopadhay2018", "Chattopadhay, Aditya and Sarkar, Anirban and Howlader, Prantik and Balasubramanian, Vineeth N.", 2018, "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks", "WACV 2018", doi="10.1109/WACV.2018.00097", arxiv="1710.11063"),
        Paper("chawla2002", "Chawla, Nitesh V. and Bowyer, Kevin W. and Hall, Lawrence O. and Kegelmeyer, W. Philip", 2002, "SMOTE: Synthetic Minority Over-sampling Technique", "Journal of Artificial Intelligence Research 16:321-357", doi="10.1613/jair.953", arxiv="1106.1813"),
        Paper("chefer2021", "Chefer, Hila and Gur, Shir and Wolf, Lior", 2021, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers", "ICCV 2021", arxiv="2103.15679"),
        Paper("chung2019", "Chung, Yeounoh and Kraska, Tim and Polyzotis, Neoklis and Tae, Ki Hyun and Whang, Steven Euijong", 2019, "Automated Data Slicing for Model Validation: A Big Data - AI Integration Approach", "IEEE Transactions on Knowledge and Data Engineering 32(12), 2284-2296", doi="10.1109/TKDE.2019.2916074", arxiv="1807.06068"),
        Paper("clauset2009", "Clauset, Aaron and Shalizi, Cosma Rohilla and Newman, M. E. J.", 2009, "Power-Law Distributions in Empirical Data", "SIAM Review 51(4):661-703", doi="10.1137/070710111", arxiv="0706.1062"),
        Paper("clopper1934", "Clopper, Charles J. and Pearson, Egon S.", 1934, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial", "Biometrika 26(4):404-413", doi="10.1093/biomet/26.4.404"),
        Paper("cordier2023", "Cordier, Thibault and Blot, Vincent and Lacombe, Louis and Morzadec, Thomas and Capitaine, Arnaud and Brunel, Nicolas", 2023, "Flexible and Systematic Uncertainty Estimation with Conformal Prediction via the MAPIE library", "COPA 2023, PMLR 204:549-581", url="https://proceedings.mlr.press/v204/cordier23a.html"),
        Paper("cover1967", "Cover, Thomas M. and Hart, Peter E.", 1967, "Nearest Neighbor Pattern Classification", "IEEE Transactions on Information Theory 13(1), 21-27", doi="10.1109/TIT.1967.1053964"),
        Paper("croce2020", "Croce, Francesco and Hein, Matthias", 2020, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks", "ICML 2020", arxiv="2003.01690"),
        Paper("cubuk2020", "Cubuk, Ekin D. and Zoph, Barret and Shlens, Jonathon and Le, Quoc V.", 2020, "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", "NeurIPS 2020", arxiv="1909.13719"),
        Paper("cui2019", "Cui, Yin and Jia, Menglin and Lin, Tsung-Yi and Song, Yang and Belongie, Serge", 2019, "Class-Balanced Loss Based on Effective Number of Samples", "CVPR 2019", arxiv="1901.05555"),
        Paper("delong1988", "DeLong, Elizabeth R. and DeLong, David M. and Clarke-Pearson, Daniel L.", 1988, "Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves: A Nonparametric Approach", "Biometrics 44(3):837-845", doi="10.2307/2531595"),
        Paper("desai2020", "Desai, Saurabh and Ramaswamy, Harish G.", 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization", "WACV 2020", doi="10.1109/WACV45572.2020.9093360"),
        Paper("dhamdhere2019", "Dhamdhere, Kedar and Sundararajan, Mukund and Yan, Qiqi", 2019, "How important is a neuron?", "ICLR", arxiv="1805.12233"),
        Paper("draelos2020", "Draelos, Rachel Lea and Carin, Lawrence", 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", "arXiv", arxiv="2011.08891"),
        Paper("drucker1992", "Drucker, Harris and LeCun, Yann", 1992, "Improving Generalization Performance Using Double Backpropagation", "IEEE Transactions on Neural Networks 3(6):991-997", doi="10.1109/72.165600"),
        Paper("dunn1961", "Dunn, Olive Jean", 1961, "Multiple Comparisons Among Means", "Journal of the American Statistical Association 56(293):52-64", doi="10.1080/01621459.1961.10482090"),
        Paper("dziugaite2021", "Dziugaite, Gintare Karolina and Hsu, Kyle and Gharbieh, Waseem and Arpino, Gabriel and Roy, Daniel M.", 2021, "On the Role of Data in PAC-Bayes Bounds", "AISTATS 2021", arxiv="2006.10929"),
        Paper("efron1987", "Efron, Bradley", 1987, "Better Bootstrap Confidence Intervals", "Journal of the American Statistical Association 82(397):171-185", doi="10.1080/01621459.1987.10478410"),
        Paper("elkan2001", "Elkan, Charles", 2001, "The Foundations of Cost-Sensitive Learning", "IJCAI 2001, 973-978", url="https://cseweb.ucsd.edu/~elkan/rescale.pdf"),
        Paper("erion2021", "Erion, Gabriel and Janizek, Joseph D. and Sturmfels, Pascal and Lundberg, Scott M. and Lee, Su-In", 2021, "Improving performance of deep learning models with axiomatic attribution priors and expected gradients", "Nature Machine Intelligence", doi="10.1038/s42256-021-00343-w", arxiv="1906.10670"),
        Paper("evans2002", "Evans, Dafydd and Jones, Antonia J.", 2002, "A proof of the Gamma test", "Proceedings of the Royal Society A 458(2027), 2759-2799", doi="10.1098/rspa.2002.1010"),
        Paper("eyuboglu2022", "Eyuboglu, Sabri and Varma, Maya and Saab, Khaled and Delbrouck, Jean-Benoit and Lee-Messer, Christopher and Dunnmon, Jared and Zou, James and Ré, Christopher", 2022, "Domino: Discovering Systematic Errors with Cross-Modal Embeddings", "ICLR 2022", arxiv="2203.14960"),
        Paper("facco2017", "Facco, Elena and d'Errico, Maria and Rodriguez, Alex and Laio, Alessandro", 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood information", "Scientific Reports 7, 12140", doi="10.1038/s41598-017-11873-y"),
        Paper("fejer1933", "Fejér, Leopold", 1933, "Mechanische Quadraturen mit positiven Cotesschen Zahlen", "Mathematische Zeitschrift 37:287-309", doi="10.1007/BF01474575"),
        Paper("felzenszwalb2004", "Felzenszwalb, Pedro F. and Huttenlocher, Daniel P.", 2004, "Efficient Graph-Based Image Segmentation", "International Journal of Computer Vision 59(2):167-181", doi="10.1023/B:VISI.0000022288.19776.77"),
        Paper("ferro2012", "Ferro, Christopher A. T. and Fricker, Thomas E.", 2012, "A Bias-Corrected Decomposition of the Brier Score", "Quarterly Journal of the Royal Meteorological Society 138(668):1954-1960", doi="10.1002/qj.1924"),
        Paper("foret2021", "Foret, Pierre and Kleiner, Ariel and Mobahi, Hossein and Neyshabur, Behnam", 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization", "ICLR 2021", arxiv="2010.01412"),
        Paper("fu2020", "Fu, Ruigang and Hu, Qingyong and Dong, Xiaohu and Guo, Yulan and Gao, Yinghui and Li, Biao", 2020, "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs", "BMVC 2020", arxiv="2008.02312"),
        Paper("fuad2020", "Fuad, Kazi Ahmed Asif and Martin, Pierre-Etienne and Giot, Romain and Bourqui, Romain and Benois-Pineau, Jenny and Zemmari, Akka", 2020, "Features Understanding in 3D CNNs for Actions Recognition in Video", "IPTA 2020", doi="10.1109/IPTA50016.2020.9286629"),
        Paper("gal2016", "Gal, Yarin and Ghahramani, Zoubin", 2016, "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning", "ICML 2016", arxiv="1506.02142"),
        Paper("garg2022", "Garg, Saurabh and Balakrishnan, Sivaraman and Lipton, Zachary C. and Neyshabur, Behnam and Sedghi, Hanie", 2022, "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", "ICLR 2022", arxiv="2201.04234"),
        Paper("geifman2017", "Geifman, Yonatan and El-Yaniv, Ran", 2017, "Selective Classification for Deep Neural Networks", "NeurIPS 2017", arxiv="1705.08500"),
        Paper("geifman2019", "Geifman, Yonatan and Uziel, Guy and El-Yaniv, Ran", 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", "ICLR 2019", arxiv="1805.08206"),
        Paper("ghorbani2019", "Ghorbani, Behrooz and Krishnan, Shankar and Xiao, Ying", 2019, "An Investigation into Neural Net Optimization via Hessian Eigenvalue Density", "ICML 2019", arxiv="1901.10159"),
        Paper("glorot2011", "Glorot, Xavier and Bordes, Antoine and Bengio, Yoshua", 2011, "Deep Sparse Rectifier Neural Networks", "AISTATS 2011, PMLR 15:315-323", url="https://proceedings.mlr.press/v15/glorot11a.html"),
        Paper("gneiting2007", "Gneiting, Tilmann and Raftery, Adrian E.", 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation", "Journal of the American Statistical Association 102(477):359-378", doi="10.1198/016214506000001437"),
        Paper("gneiting2023", "Gneiting, Tilmann and Resin, Johannes", 2023, "Regression Diagnostics Meets Forecast Evaluation: Conditional Calibration, Reliability Diagrams, and Coefficient of Determination", "Electronic Journal of Statistics 17(2):3226-3286", doi="10.1214/23-EJS2180", arxiv="2108.03210"),
        Paper("good1952", "Good, I. J.", 1952, "Rational Decisions", "Journal of the Royal Statistical Society B 14(1):107-114", doi="10.1111/j.2517-6161.1952.tb00104.x"),
        Paper("goodfellow2015", "Goodfellow, Ian J. and Shlens, Jonathon and Szegedy, Christian", 2015, "Explaining and Harnessing Adversarial Examples", "ICLR 2015", arxiv="1412.6572"),
        Paper("grandvalet2005", "Grandvalet, Yves and Bengio, Yoshua", 2005, "Semi-Supervised Learning by Entropy Minimization", "NIPS 17", url="https://proceedings.neurips.cc/paper/2004/hash/96f2b50b5d3613adf9c27049b2a888c7-Abstract.html"),
        Paper("gretton2012", "Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Schölkopf, Bernhard and Smola, Alexander", 2012, "A Kernel Two-Sample Test", "Journal of Machine Learning Research 13:723-773", url="https://jmlr.org/papers/v13/gretton12a.html"),
        Paper("guillory2021", "Guillory, Devin and Shankar, Vaishaal and Ebrahimi, Sayna and Darrell, Trevor and Schmidt, Ludwig", 2021, "Predicting with Confidence on Unseen Distributions", "ICCV 2021", arxiv="2107.03315"),
        Paper("gulrajani2021", "Gulrajani, Ishaan and Lopez-Paz, David", 2021, "In Search of Lost Domain Generalization", "ICLR 2021", arxiv="2007.01434"),
        Paper("guo2017", "Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.", 2017, "On Calibration of Modern Neural Networks", "ICML 2017", arxiv="1706.04599"),
        Paper("han2015", "Han, Song and Pool, Jeff and Tran, John and Dally, William J.", 2015, "Learning Both Weights and Connections for Efficient Neural Networks", "NeurIPS 2015", arxiv="1506.02626"),
        Paper("he2016", "He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian", 2016, "Deep Residual Learning for Image Recognition", "CVPR 2016", arxiv="1512.03385"),
        Paper("hedstrom2024", "Hedström, Anna and Weber, Leander and Lapuschkin, Sebastian and Höhne, Marina", 2024, "A Fresh Look at Sanity Checks for Saliency Maps", "xAI 2024", arxiv="2405.02383"),
        Paper("hendrycks2017", "Hendrycks, Dan and Gimpel, Kevin", 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks", "ICLR 2017", arxiv="1610.02136"),
        Paper("hendrycks2019", "Hendrycks, Dan and Dietterich, Thomas", 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", "ICLR 2019", arxiv="1903.12261"),
        Paper("hendrycks2020", "Hendrycks, Dan and Mu, Norman and Cubuk, Ekin D. and Zoph, Barret and Gilmer, Justin and Lakshminarayanan, Balaji", 2020, "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty", "ICLR 2020", arxiv="1912.02781"),
        Paper("hestness2017", "Hestness, Joel and Narang, Sharan and Ardalani, Newsha and Diamos, Gregory and Jun, Heewoo and Kianinejad, Hassan and Patwary, Md. Mostofa Ali and Yang, Yang and Zhou, Yanqi", 2017, "Deep Learning Scaling Is Predictable, Empirically", "arXiv preprint", arxiv="1712.00409"),
        Paper("hinton2015", "Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff", 2015, "Distilling the Knowledge in a Neural Network", "arXiv", arxiv="1503.02531"),
        Paper("hoerl1970", "Hoerl, Arthur E. and Kennard, Robert W.", 1970, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", "Technometrics 12(1):55-67", doi="10.1080/00401706.1970.10488634"),
        Paper("hoffman2019", "Hoffman, Judy and Roberts, Daniel A. and Yaida, Sho", 2019, "Robust Learning with Jacobian Regularization", "arXiv", arxiv="1908.02729"),
        Paper("hooker2019", "Hooker, Sara and Erhan, Dumitru and Kindermans, Pieter-Jan and Kim, Been", 2019, "A benchmark for interpretability methods in deep neural networks", "NeurIPS", arxiv="1806.10758"),
        Paper("howard2017", "Howard, Andrew G. and Zhu, Menglong and Chen, Bo and Kalenichenko, Dmitry and Wang, Weijun and Weyand, Tobias and Andreetto, Marco and Adam, Hartwig", 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", "arXiv preprint", arxiv="1704.04861"),
        Paper("huang2016", "Huang, Gao and Sun, Yu and Liu, Zhuang and Sedra, Daniel and Weinberger, Kilian Q.", 2016, "Deep Networks with Stochastic Depth", "ECCV 2016", arxiv="1603.09382"),
        Paper("huang2017", "Huang, Gao and Li, Yixuan and Pleiss, Geoff and Liu, Zhuang and Hopcroft, John E. and Weinberger, Kilian Q.", 2017, "Snapshot Ensembles: Train 1, Get M for Free", "ICLR 2017", arxiv="1704.00109"),
        Paper("hutchinson1990", "Hutchinson, Michael F.", 1990, "A Stochastic Estimator of the Trace of the Influence Matrix for Laplacian Smoothing Splines", "Communications in Statistics - Simulation and Computation 19(2):433-450", doi="10.1080/03610919008812866"),
        Paper("izmailov2018", "Izmailov, Pavel and Podoprikhin, Dmitrii and Garipov, Timur and Vetrov, Dmitry and Wilson, Andrew Gordon", 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", "UAI 2018", arxiv="1803.05407"),
        Paper("jacovi2020", "Jacovi, Alon and Goldberg, Yoav", 2020, "Towards Faithfully Interpretable NLP Systems: How Should We Define and Evaluate Faithfulness?", "ACL 2020", doi="10.18653/v1/2020.acl-main.386", arxiv="2004.03685"),
        Paper("jain2019", "Jain, Sarthak and Wallace, Byron C.", 2019, "Attention is not Explanation", "NAACL 2019", doi="10.18653/v1/N19-1357", arxiv="1902.10186"),
        Paper("jiang2021", "Jiang, Peng-Tao and Zhang, Chang-Bin and Hou, Qibin and Cheng, Ming-Ming and Wei, Yunchao", 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", "IEEE Transactions on Image Processing 30:5875-5888", doi="10.1109/TIP.2021.3089943"),
        Paper("jiang2022", "Jiang, Yiding and Nagarajan, Vaishnavh and Baek, Christina and Kolter, J. Zico", 2022, "Assessing Generalization of SGD via Disagreement", "ICLR 2022", arxiv="2106.13799"),
        Paper("kapishnikov2019", "Kapishnikov, Andrei and Bolukbasi, Tolga and Viégas, Fernanda and Terry, Michael", 2019, "XRAI: Better Attributions Through Regions", "ICCV 2019", arxiv="1906.02825"),
        Paper("kapishnikov2021", "Kapishnikov, Andrei and Venugopalan, Subhashini and Avci, Besim and Wedin, Ben and Terry, Michael and Bolukbasi, Tolga", 2021, "Guided Integrated Gradients: An Adaptive Path Method for Removing Noise", "CVPR 2021", arxiv="2106.09788"),
        Paper("kapoor2023", "Kapoor, Sayash and Narayanan, Arvind", 2023, "Leakage and the Reproducibility Crisis in Machine-Learning-Based Science", "Patterns 4(9):100804", doi="10.1016/j.patter.2023.100804"),
        Paper("kaufman2012", "Kaufman, Shachar and Rosset, Saharon and Perlich, Claudia and Stitelman, Ori", 2012, "Leakage in Data Mining: Formulation, Detection, and Avoidance", "ACM Transactions on Knowledge Discovery from Data 6(4), 15", doi="10.1145/2382577.2382579"),
        Paper("kendall1945", "Kendall, Maurice G.", 1945, "The Treatment of Ties in Ranking Problems", "Biometrika 33(3):239-251", doi="10.1093/biomet/33.3.239"),
        Paper("ko2017", "Ko, Tom and Peddinti, Vijayaditya and Povey, Daniel and Seltzer, Michael L. and Khudanpur, Sanjeev", 2017, "A Study on Data Augmentation of Reverberant Speech for Robust Speech Recognition", "ICASSP 2017", doi="10.1109/ICASSP.2017.7953152"),
        Paper("kobayashi2020", "Kobayashi, Goro and Kuribayashi, Tatsuki and Yokoi, Sho and Inui, Kentaro", 2020, "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms", "EMNLP 2020", doi="10.18653/v1/2020.emnlp-main.574", arxiv="2004.10102"),
        Paper("koh2021", "Koh, Pang Wei and Sagawa, Shiori and Marklund, Henrik and Xie, Sang Michael and Zhang, Marvin and Balsubramani, Akshay and Hu, Weihua and Yasunaga, Michihiro and Phillips, Richard Lanas and Gao, Irena and Lee, Tony and David, Etienne and Stavness, Ian and Guo, Wei and Earnshaw, Berton and Haque, Imran and Beery, Sara and Leskovec, Jure and Kundaje, Anshul and Pierson, Emma and Levine, Sergey and Finn, Chelsea and Liang, Percy", 2021, "WILDS: A Benchmark of in-the-Wild Distribution Shifts", "ICML 2021", arxiv="2012.07421"),
        Paper("krizhevsky2012", "Krizhevsky, Alex and Sutskever, Ilya and Hinton, Geoffrey E.", 2012, "ImageNet Classification with Deep Convolutional Neural Networks", "NIPS 2012; Communications of the ACM 60(6):84-90", doi="10.1145/3065386"),
        Paper("krogh1991", "Krogh, Anders and Hertz, John A.", 1991, "A Simple Weight Decay Can Improve Generalization", "NeurIPS 4:950-957", url="https://proceedings.neurips.cc/paper/1991/hash/8eefcfdf5990e441f0fb6f3fad709e21-Abstract.html"),
        Paper("krueger2021", "Krueger, David and Caballero, Ethan and Jacobsen, Joern-Henrik and Zhang, Amy and Binas, Jonathan and Zhang, Dinghuai and Le Priol, Remi and Courville, Aaron", 2021, "Out-of-Distribution Generalization via Risk Extrapolation (REx)", "ICML 2021", arxiv="2003.00688"),
        Paper("kumar2019", "Kumar, Ananya and Liang, Percy and Ma, Tengyu", 2019, "Verified Uncertainty Calibration", "NeurIPS 2019", arxiv="1909.10155"),
        Paper("kwon2021", "Kwon, Jungmin and Kim, Jeongseop and Park, Hyunseo and Choi, In Kwon", 2021, "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks", "ICML 2021", arxiv="2102.11600"),
        Paper("lakshminarayanan2017", "Lakshminarayanan, Balaji and Pritzel, Alexander and Blundell, Charles", 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", "NeurIPS 2017", arxiv="1612.01474"),
        Paper("langford2001", "Langford, John and Caruana, Rich", 2001, "(Not) Bounding the True Error", "NeurIPS 2001", url="https://papers.nips.cc/paper/2001/hash/98c7242894844ecd6ec94af67ac8247d-Abstract.html"),
        Paper("langford2005", "Langford, John", 2005, "Tutorial on Practical Prediction Theory for Classification", "Journal of Machine Learning Research 6:273-306", url="https://jmlr.org/papers/v6/langford05a.html"),
        Paper("lapuschkin2019", "Lapuschkin, Sebastian and Wäldchen, Stephan and Binder, Alexander and Montavon, Grégoire and Samek, Wojciech and Müller, Klaus-Robert", 2019, "Unmasking Clever Hans Predictors and Assessing What Machines Really Learn", "Nature Communications 10:1096", doi="10.1038/s41467-019-08987-4"),
        Paper("lee2018", "Lee, Kimin and Lee, Kibok and Lee, Honglak and Shin, Jinwoo", 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", "NeurIPS 2018", arxiv="1807.03888"),
        Paper("leguennec2016", "Le Guennec, Arthur and Malinowski, Simon and Tavenard, Romain", 2016, "Data Augmentation for Time Series Classification using Convolutional Neural Networks", "ECML/PKDD Workshop on Advanced Analytics and Learning on Temporal Data", url="https://shs.hal.science/halshs-01357973"),
        Paper("leino2018", "Leino, Klas and Sen, Shayak and Datta, Anupam and Fredrikson, Matt and Li, Linyi", 2018, "Influence-directed explanations for deep convolutional networks", "IEEE International Test Conference", arxiv="1802.03788"),
        Paper("li2005", "Li, Chi-Kwong and Li, Ren-Cang", 2005, "A Note on Eigenvalues of Perturbed Hermitian Matrices", "Linear Algebra and its Applications 395:183-190", doi="10.1016/j.laa.2004.08.026"),
        Paper("lin1991", "Lin, Jianhua", 1991, "Divergence Measures Based on the Shannon Entropy", "IEEE Transactions on Information Theory 37(1):145-151", doi="10.1109/18.61115"),
        Paper("lin2017", "Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Dollár, Piotr", 2017, "Focal Loss for Dense Object Detection", "ICCV 2017", arxiv="1708.02002"),
        Paper("liu2020", "Liu, Weitang and Wang, Xiaoyun and Owens, John D. and Li, Yixuan", 2020, "Energy-based Out-of-distribution Detection", "NeurIPS 2020", arxiv="2010.03759"),
        Paper("lopezpaz2017", "Lopez-Paz, David and Oquab, Maxime", 2017, "Revisiting Classifier Two-Sample Tests", "ICLR 2017", arxiv="1610.06545"),
        Paper("loshchilov2019", "Loshchilov, Ilya and Hutter, Frank", 2019, "Decoupled Weight Decay Regularization", "ICLR 2019", arxiv="1711.05101"),
        Paper("lundberg2017", "Lundberg, Scott M. and Lee, Su-In", 2017, "A Unified Approach to Interpreting Model Predictions", "NeurIPS 2017", arxiv="1705.07874"),
        Paper("mackinnon1985", "MacKinnon, James G. and White, Halbert", 1985, "Some Heteroskedasticity-Consistent Covariance Matrix Estimators with Improved Finite Sample Properties", "Journal of Econometrics 29(3):305-325", doi="10.1016/0304-4076(85)90158-7"),
        Paper("madry2018", "Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and Vladu, Adrian", 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", "ICLR 2018", arxiv="1706.06083"),
        Paper("martin2021", "Martin, Charles H. and Mahoney, Michael W.", 2021, "Implicit Self-Regularization in Deep Neural Networks: Evidence from Random Matrix Theory and Implications for Learning", "Journal of Machine Learning Research 22(165):1-73", arxiv="1810.01075"),
        Paper("maurer2004", "Maurer, Andreas", 2004, "A Note on the PAC Bayesian Theorem", "arXiv preprint", url="https://arxiv.org/abs/cs/0411099"),
        Paper("meyer2021", "Meyer, Raphael A. and Musco, Cameron and Musco, Christopher and Woodruff, David P.", 2021, "Hutch++: Optimal Stochastic Trace Estimation", "SOSA 2021", arxiv="2010.09649"),
        Paper("milanifard2016", "Milani Fard, Mahdi and Cormier, Quentin and Canini, Kevin and Gupta, Maya", 2016, "Launch and Iterate: Reducing Prediction Churn", "NeurIPS 2016", url="https://proceedings.neurips.cc/paper/2016/hash/dc5c768b5dc76a084531934b34601977-Abstract.html"),
        Paper("mincer1969", "Mincer, Jacob A. and Zarnowitz, Victor", 1969, "The Evaluation of Economic Forecasts", "Economic Forecasts and Expectations, NBER, 3-46", url="https://www.nber.org/books-and-chapters/economic-forecasts-and-expectations-analysis-forecasting-behavior-and-performance/evaluation-economic-forecasts"),
        Paper("mitchell2022", "Mitchell, Rory and Cooper, Joshua and Frank, Eibe and Holmes, Geoffrey", 2022, "Sampling Permutations for Shapley Value Estimation", "Journal of Machine Learning Research 23(43):1-46", arxiv="2104.12199"),
        Paper("mohebbi2023", "Mohebbi, Hosein and Zuidema, Willem and Chrupała, Grzegorz and Alishahi, Afra", 2023, "Quantifying Context Mixing in Transformers", "EACL 2023", doi="10.18653/v1/2023.eacl-main.245", arxiv="2301.12971"),
        Paper("montavon2017", "Montavon, Grégoire and Lapuschkin, Sebastian and Binder, Alexander and Samek, Wojciech and Müller, Klaus-Robert", 2017, "Explaining Nonlinear Classification Decisions with Deep Taylor Decomposition", "Pattern Recognition 65:211-222", doi="10.1016/j.patcog.2016.11.008", arxiv="1512.02479"),
        Paper("montavon2019", "Montavon, Grégoire and Binder, Alexander and Lapuschkin, Sebastian and Samek, Wojciech and Müller, Klaus-Robert", 2019, "Layer-Wise Relevance Propagation: An Overview", "Explainable AI, LNCS 11700, 193-209", doi="10.1007/978-3-030-28954-6_10"),
        Paper("morcos2018", "Morcos, Ari S. and Barrett, David G. T. and Rabinowitz, Neil C. and Botvinick, Matthew", 2018, "On the Importance of Single Directions for Generalization", "ICLR 2018", arxiv="1803.06959"),
        Paper("mougan2023", "Mougan, Carlos and Broelemann, Klaus and Masip, David and Kasneci, Gjergji and Thiropanis, Thanassis and Staab, Steffen", 2023, "Explanation Shift: How Did the Distribution Shift Impact the Model?", "arXiv preprint", arxiv="2303.08081"),
        Paper("muhammad2020", "Muhammad, Mohammed Bany and Yeasin, Mohammed", 2020, "Eigen-CAM: Class Activation Map using Principal Components", "IJCNN 2020", doi="10.1109/IJCNN48605.2020.9206626", arxiv="2008.00299"),
        Paper("mukhoti2020", "Mukhoti, Jishnu and Kulharia, Viveka and Sanyal, Amartya and Golodetz, Stuart and Torr, Philip H. S. and Dokania, Puneet K.", 2020, "Calibrating Deep Neural Networks using Focal Loss", "NeurIPS 2020", arxiv="2002.09437"),
        Paper("muller2019", "Müller, Rafael and Kornblith, Simon and Hinton, Geoffrey", 2019, "When Does Label Smoothing Help?", "NeurIPS 2019", arxiv="1906.02629"),
        Paper("murphy1973", "Murphy, Allan H.", 1973, "A New Vector Partition of the Probability Score", "Journal of Applied Meteorology 12(4):595-600", doi="10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2"),
        Paper("naeini2015", "Pakdaman Naeini, Mahdi and Cooper, Gregory F. and Hauskrecht, Milos", 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", "AAAI 2015, 29(1)", doi="10.1609/aaai.v29i1.9602"),
        Paper("newcombe1998", "Newcombe, Robert G.", 1998, "Interval Estimation for the Difference between Independent Proportions: Comparison of Eleven Methods", "Statistics in Medicine 17(8):873-890", doi="10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I"),
        Paper("neyshabur2015", "Neyshabur, Behnam and Tomioka, Ryota and Srebro, Nathan", 2015, "Norm-Based Capacity Control in Neural Networks", "COLT 2015", arxiv="1503.00036"),
        Paper("nguyen2020", "Nguyen, An-phi and Martínez, María Rodríguez", 2020, "On Quantitative Aspects of Model Interpretability", "arXiv", arxiv="2007.07584"),
        Paper("nixon2019", "Nixon, Jeremy and Dusenberry, Michael W. and Zhang, Linchuan and Jerfel, Ghassen and Tran, Dustin", 2019, "Measuring Calibration in Deep Learning", "CVPR Workshops 2019", arxiv="1904.01685"),
        Paper("northcutt2021", "Northcutt, Curtis G. and Jiang, Lu and Chuang, Isaac L.", 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", "Journal of Artificial Intelligence Research 70:1373-1411", doi="10.1613/jair.1.12125", arxiv="1911.00068"),
        Paper("park2019", "Park, Daniel S. and Chan, William and Zhang, Yu and Chiu, Chung-Cheng and Zoph, Barret and Cubuk, Ekin D. and Le, Quoc V.", 2019, "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", "Interspeech 2019", arxiv="1904.08779"),
        Paper("patrini2017", "Patrini, Giorgio and Rozza, Alessandro and Menon, Aditya Krishna and Nock, Richard and Qu, Lizhen", 2017, "Making Deep Neural Networks Robust to Label Noise: A Loss Correction Approach", "CVPR 2017", doi="10.1109/CVPR.2017.240", arxiv="1609.03683"),
        Paper("perezortiz2021", "Pérez-Ortiz, María and Rivasplata, Omar and Shawe-Taylor, John and Szepesvári, Csaba", 2021, "Tighter Risk Certificates for Neural Networks", "Journal of Machine Learning Research 22(227):1-40", arxiv="2007.12911"),
        Paper("petsiuk2018", "Petsiuk, Vitali and Das, Abir and Saenko, Kate", 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models", "BMVC 2018", arxiv="1806.07421"),
        Paper("petzka2021", "Petzka, Henning and Kamp, Michael and Adilova, Linara and Sminchisescu, Cristian and Boley, Mario", 2021, "Relative Flatness and Generalization", "NeurIPS 2021", arxiv="2001.00939"),
        Paper("platt1999", "Platt, John C.", 1999, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods", "Advances in Large Margin Classifiers, 61-74", doi="10.7551/mitpress/1113.003.0008"),
        Paper("polyak1992", "Polyak, Boris T. and Juditsky, Anatoli B.", 1992, "Acceleration of Stochastic Approximation by Averaging", "SIAM Journal on Control and Optimization 30(4):838-855", doi="10.1137/0330046"),
        Paper("popordanoska2022", "Popordanoska, Teodora and Sayer, Raphael and Blaschko, Matthew B.", 2022, "A Consistent and Differentiable Lp Canonical Calibration Error Estimator", "NeurIPS 2022", arxiv="2210.07810"),
        Paper("prechelt1998", "Prechelt, Lutz", 1998, "Early Stopping - But When?", "Neural Networks: Tricks of the Trade, LNCS 1524, 55-69", doi="10.1007/3-540-49430-8_3"),
        Paper("rabanser2019", "Rabanser, Stephan and Günnemann, Stephan and Lipton, Zachary C.", 2019, "Failing Loudly: An Empirical Study of Methods for Detecting Dataset Shift", "NeurIPS 2019", arxiv="1810.11953"),
        Paper("rieger2020", "Rieger, Laura and Singh, Chandan and Murdoch, W. James and Yu, Bin", 2020, "Interpretations are Useful: Penalizing Explanations to Align Neural Networks with Prior Knowledge", "ICML 2020", arxiv="1909.13584"),
        Paper("romano2020", "Romano, Yaniv and Sesia, Matteo and Candès, Emmanuel J.", 2020, "Classification with Valid and Adaptive Coverage", "NeurIPS 2020", arxiv="2006.02544"),
        Paper("ross2017", "Ross, Andrew Slavin and Hughes, Michael C. and Doshi-Velez, Finale", 2017, "Right for the Right Reasons: Training Differentiable Models by Constraining their Explanations", "IJCAI 2017", arxiv="1703.03717"),
        Paper("rossslopes2018", "Ross, Andrew Slavin and Doshi-Velez, Finale", 2018, "Improving the Adversarial Robustness and Interpretability of Deep Neural Networks by Regularizing their Input Gradients", "AAAI 2018", arxiv="1711.09404"),
        Paper("sadinle2019", "Sadinle, Mauricio and Lei, Jing and Wasserman, Larry", 2019, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", "Journal of the American Statistical Association 114(525):223-234", doi="10.1080/01621459.2017.1395341", arxiv="1609.00451"),
        Paper("saerens2002", "Saerens, Marco and Latinne, Patrice and Decaestecker, Christine", 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities: A Simple Procedure", "Neural Computation 14(1):21-41", doi="10.1162/089976602753284446"),
        Paper("sagawa2020", "Sagawa, Shiori and Koh, Pang Wei and Hashimoto, Tatsunori B. and Liang, Percy", 2020, "Distributionally Robust Neural Networks for Group Shifts", "ICLR 2020", arxiv="1911.08731"),
        Paper("salamon2017", "Salamon, Justin and Bello, Juan Pablo", 2017, "Deep Convolutional Neural Networks and Data Augmentation for Environmental Sound Classification", "IEEE Signal Processing Letters 24(3):279-283", arxiv="1608.04363"),
        Paper("samek2017", "Samek, Wojciech and Binder, Alexander and Montavon, Grégoire and Lapuschkin, Sebastian and Müller, Klaus-Robert", 2017, "Evaluating the Visualization of What a Deep Neural Network Has Learned", "IEEE Transactions on Neural Networks and Learning Systems 28(11):2660-2673", doi="10.1109/TNNLS.2016.2599820", arxiv="1509.06321"),
        Paper("sanyal2021", "Sanyal, Soumya and Ren, Xiang", 2021, "Discretized Integrated Gradients for Explaining Language Models", "EMNLP 2021", doi="10.18653/v1/2021.emnlp-main.805", arxiv="2108.13654"),
        Paper("schuirmann1987", "Schuirmann, Donald J.", 1987, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the Equivalence of Average Bioavailability", "Journal of Pharmacokinetics and Biopharmaceutics 15(6):657-680", doi="10.1007/BF01068419"),
        Paper("selvaraju2017", "Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and Vedantam, Ramakrishna and Parikh, Devi and Batra, Dhruv", 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", "ICCV 2017", doi="10.1109/ICCV.2017.74", arxiv="1610.02391"),
        Paper("shapley1953", "Shapley, Lloyd S.", 1953, "A Value for n-Person Games", "Contributions to the Theory of Games II, 307-317", doi="10.1515/9781400881970-018"),
        Paper("shrikumar2016", "Shrikumar, Avanti and Greenside, Peyton and Shcherbina, Anna and Kundaje, Anshul", 2016, "Not Just a Black Box: Learning Important Features Through Propagating Activation Differences", "arXiv preprint", arxiv="1605.01713"),
        Paper("shrikumar2017", "Shrikumar, Avanti and Greenside, Peyton and Kundaje, Anshul", 2017, "Learning Important Features through Propagating Activation Differences", "ICML 2017", arxiv="1704.02685"),
        Paper("simonyan2014", "Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew", 2014, "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps", "ICLR 2014 workshop", arxiv="1312.6034"),
        Paper("singh2019", "Singh, Chandan and Murdoch, W. James and Yu, Bin", 2019, "Hierarchical Interpretations for Neural Network Predictions", "ICLR 2019", arxiv="1806.05337"),
        Paper("smilkov2017", "Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Viégas, Fernanda and Wattenberg, Martin", 2017, "SmoothGrad: Removing Noise by Adding Noise", "arXiv preprint", arxiv="1706.03825"),
        Paper("spearman1904", "Spearman, Charles", 1904, "The Proof and Measurement of Association between Two Things", "American Journal of Psychology 15(1), 72-101", doi="10.2307/1412159"),
        Paper("springenberg2015", "Springenberg, Jost Tobias and Dosovitskiy, Alexey and Brox, Thomas and Riedmiller, Martin", 2015, "Striving for Simplicity: The All Convolutional Net", "ICLR 2015, workshop track", arxiv="1412.6806"),
        Paper("srinivas2019", "Srinivas, Suraj and Fleuret, François", 2019, "Full-Gradient Representation for Neural Network Visualization", "NeurIPS 2019", arxiv="1905.00780"),
        Paper("srivastava2014", "Srivastava, Nitish and Hinton, Geoffrey and Krizhevsky, Alex and Sutskever, Ilya and Salakhutdinov, Ruslan", 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", "Journal of Machine Learning Research 15(56):1929-1958", url="https://jmlr.org/papers/v15/srivastava14a.html"),
        Paper("stephenson2008", "Stephenson, David B. and Coelho, Caio A. S. and Jolliffe, Ian T.", 2008, "Two Extra Components in the Brier Score Decomposition", "Weather and Forecasting 23(4):752-757", doi="10.1175/2007WAF2006116.1"),
        Paper("strout2019", "Strout, Julia and Zhang, Ye and Mooney, Raymond J.", 2019, "Do Human Rationales Improve Machine Explanations?", "BlackboxNLP 2019", arxiv="1905.13714"),
        Paper("sun2016", "Sun, Baochen and Saenko, Kate", 2016, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", "ECCV 2016 Workshops", arxiv="1607.01719"),
        Paper("sun2022", "Sun, Yiyou and Ming, Yifei and Zhu, Xiaojin and Li, Yixuan", 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", "ICML 2022", arxiv="2204.06507"),
        Paper("sundararajan2017", "Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi", 2017, "Axiomatic Attribution for Deep Networks", "ICML 2017", arxiv="1703.01365"),
        Paper("szegedy2016", "Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and Shlens, Jonathon and Wojna, Zbigniew", 2016, "Rethinking the Inception Architecture for Computer Vision", "CVPR 2016", arxiv="1512.00567"),
        Paper("tibshirani1996", "Tibshirani, Robert", 1996, "Regression Shrinkage and Selection via the Lasso", "Journal of the Royal Statistical Society B 58(1):267-288", doi="10.1111/j.2517-6161.1996.tb02080.x"),
        Paper("tompson2015", "Tompson, Jonathan and Goroshin, Ross and Jain, Arjun and LeCun, Yann and Bregler, Christoph", 2015, "Efficient Object Localization Using Convolutional Networks", "CVPR 2015", arxiv="1411.4280"),
        Paper("um2017", "Um, Terry T. and Pfister, Franz M. J. and Pichler, Daniel and Endo, Satoshi and Lang, Muriel and Hirche, Sandra and Fietzek, Urban and Kulić, Dana", 2017, "Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural Networks", "ICMI 2017", arxiv="1706.00527"),
        Paper("viering2023", "Viering, Tom and Loog, Marco", 2023, "The Shape of Learning Curves: A Review", "IEEE Transactions on Pattern Analysis and Machine Intelligence 45(6):7799-7819", doi="10.1109/TPAMI.2022.3220744", arxiv="2103.10948"),
        Paper("vovk2005", "Vovk, Vladimir and Gammerman, Alexander and Shafer, Glenn", 2005, "Algorithmic Learning in a Random World", "Springer", doi="10.1007/b106715"),
        Paper("vuong1989", "Vuong, Quang H.", 1989, "Likelihood Ratio Tests for Model Selection and Non-Nested Hypotheses", "Econometrica 57(2):307-333", doi="10.2307/1912557"),
        Paper("wang2020", "Wang, Haofan and Wang, Zifan and Du, Mengnan and Yang, Fan and Zhang, Zijian and Ding, Sirui and Mardziel, Piotr and Hu, Xia", 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", "CVPR Workshops 2020", doi="10.1109/CVPRW50498.2020.00020", arxiv="1910.01279"),
        Paper("wang2022", "Wang, Haoqi and Li, Zhizhong and Feng, Litong and Zhang, Wayne", 2022, "ViM: Out-of-Distribution with Virtual-logit Matching", "CVPR 2022", arxiv="2203.10807"),
        Paper("wei2019", "Wei, Jason and Zou, Kai", 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks", "EMNLP-IJCNLP 2019", arxiv="1901.11196"),
        Paper("wen2020", "Wen, Yeming and Tran, Dustin and Ba, Jimmy", 2020, "BatchEnsemble: An Alternative Approach to Efficient Ensemble and Lifelong Learning", "ICLR 2020", arxiv="2002.06715"),
        Paper("wiegreffe2019", "Wiegreffe, Sarah and Pinter, Yuval", 2019, "Attention is not not Explanation", "EMNLP 2019", doi="10.18653/v1/D19-1002", arxiv="1908.04626"),
        Paper("wilson1927", "Wilson, Edwin B.", 1927, "Probable Inference, the Law of Succession, and Statistical Inference", "Journal of the American Statistical Association 22(158):209-212", doi="10.1080/01621459.1927.10502953"),
        Paper("xu2020", "Xu, Shawn and Venugopalan, Subhashini and Sundararajan, Mukund", 2020, "Attribution in Scale and Space", "CVPR 2020", doi="10.1109/CVPR42600.2020.00970", arxiv="2004.03383"),
        Paper("yang2023", "Yang, Ruo and Wang, Binghui and Bilgic, Mustafa", 2023, "IDGI: A Framework to Eliminate Explanation Noise from Integrated Gradients", "CVPR 2023", doi="10.1109/CVPR52729.2023.02272", arxiv="2303.14242"),
        Paper("yao2020", "Yao, Zhewei and Gholami, Amir and Keutzer, Kurt and Mahoney, Michael W.", 2020, "PyHessian: Neural Networks Through the Lens of the Hessian", "IEEE Big Data 2020", arxiv="1912.07145"),
        Paper("yeom2018", "Yeom, Samuel and Giacomelli, Irene and Fredrikson, Matt and Jha, Somesh", 2018, "Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting", "CSF 2018", doi="10.1109/CSF.2018.00027", arxiv="1709.01604"),
        Paper("yoshida2017", "Yoshida, Yuichi and Miyato, Takeru", 2017, "Spectral Norm Regularization for Improving the Generalizability of Deep Learning", "arXiv preprint", arxiv="1705.10941"),
        Paper("yun2019", "Yun, Sangdoo and Han, Dongyoon and Oh, Seong Joon and Chun, Sanghyuk and Choe, Junsuk and Yoo, Youngjoon", 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", "ICCV 2019", arxiv="1905.04899"),
        Paper("zadrozny2002", "Zadrozny, Bianca and Elkan, Charles", 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", "KDD 2002, 694-699", doi="10.1145/775047.775151"),
        Paper("zeiler2014", "Zeiler, Matthew D. and Fergus, Rob", 2014, "Visualizing and Understanding Convolutional Networks", "ECCV 2014", doi="10.1007/978-3-319-10590-1_53", arxiv="1311.2901"),
        Paper("zhang2015", "Zhang, Xiang and Zhao, Junbo and LeCun, Yann", 2015, "Character-level Convolutional Networks for Text Classification", "NIPS 2015", arxiv="1509.01626"),
        Paper("zhang2016", "Zhang, Jianming and Lin, Zhe and Brandt, Jonathan and Shen, Xiaohui and Sclaroff, Stan", 2016, "Top-Down Neural Attention by Excitation Backprop", "ECCV 2016", arxiv="1608.00507"),
        Paper("zhang2017", "Zhang, Chiyuan and Bengio, Samy and Hardt, Moritz and Recht, Benjamin and Vinyals, Oriol", 2017, "Understanding Deep Learning Requires Rethinking Generalization", "ICLR 2017", arxiv="1611.03530"),
        Paper("zhangmixup2018", "Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David", 2018, "mixup: Beyond Empirical Risk Minimization", "ICLR 2018", arxiv="1710.09412"),
        Paper("zhangtrades2019", "Zhang, Hongyang and Yu, Yaodong and Jiao, Jiantao and Xing, Eric P. and El Ghaoui, Laurent and Jordan, Michael I.", 2019, "Theoretically Principled Trade-off between Robustness and Accuracy", "ICML 2019", arxiv="1901.08573"),
        Paper("zhong2019", "Zhong, Ruiqi and Shao, Steven and McKeown, Kathleen", 2019, "Fine-Grained Sentiment Analysis with Faithful Attention", "arXiv preprint", arxiv="1908.06870"),
        Paper("zhong2020", "Zhong, Zhun and Zheng, Liang and Kang, Guoliang and Li, Shaozi and Yang, Yi", 2020, "Random Erasing Data Augmentation", "AAAI 2020", arxiv="1708.04896"),
        Paper("zhou2016", "Zhou, Bolei and Khosla, Aditya and Lapedriza, Agata and Oliva, Aude and Torralba, Antonio", 2016, "Learning Deep Features for Discriminative Localization", "CVPR 2016", doi="10.1109/CVPR.2016.319", arxiv="1512.04150"),
        Paper("zhu2017", "Zhu, Michael and Gupta, Suyog", 2017, "To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression", "arXiv preprint", arxiv="1710.01878"),
        Paper("zou2005", "Zou, Hui and Hastie, Trevor", 2005, "Regularization and Variable Selection via the Elastic Net", "Journal of the Royal Statistical Society B 67(2):301-320", doi="10.1111/j.1467-9868.2005.00503.x"),
        Paper("zou2008", "Zou, Guang Yong and Donner, Allan", 2008, "Construction of Confidence Limits about Effect Measures: A General Approach", "Statistics in Medicine 27(10):1693-1702", doi="10.1002/sim.3095"),
    )
}  # fmt: skip
"""Every paper, by key, in the order of the keys."""


def paper(key: str) -> Paper:
    """The paper of a key, or an error that offers the nearest keys."""
    if key not in PAPERS:
        raise UnknownName(unknown("paper", key, PAPERS))
    return PAPERS[key]


def bibtex(keys: Iterable[str] | None = None) -> str:
    """BibTeX entries of the given keys, or of all, each once and in the order of the keys."""
    return "\n\n".join(paper(key).bibtex() for key in sorted(set(PAPERS if keys is None else keys)))
